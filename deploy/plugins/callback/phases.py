"""Ansible output for an operator: phases with their times, what failed and why in the last lines."""

import sys
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: phases
type: stdout
short_description: One line for each phase, failures in the last lines
description: With -v each change is shown as well, with -vv each task.
"""


def reason(result: dict[str, Any]) -> list[str]:
    """The lines that tell why a task failed: its message, then the end of what a command said."""
    message = result.get("msg", "")
    lines = [str(line) for line in message] if isinstance(message, list) else str(message).strip().splitlines()
    failed_items = [item for item in result.get("results", []) if isinstance(item, dict) and item.get("failed")]
    if failed_items:
        return [f"{item.get('_ansible_item_label', '')}: {line}" for item in failed_items for line in reason(item)]
    said = str(result.get("stderr") or result.get("stdout") or "").strip().splitlines()
    return lines + [line for line in said[-15:] if line not in lines]


class CallbackModule(CallbackBase):  # type: ignore[misc]  # Ansible has no types
    """Prints phases (plays) and their seconds; remembers failures for the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "phases"

    def __init__(self) -> None:
        super().__init__()
        self._started = self._phase_started = time.monotonic()
        self._phase = ""
        self._changed_in_phase = 0
        self._failures: list[tuple[str, str, list[str]]] = []

    def _tell(self, text: str, color: str | None = None) -> None:
        """Everything but a playbook's results is for a person, so it goes to standard error."""
        self._display.display(text, color=color, stderr=True)

    def _end_phase(self) -> None:
        if self._phase:
            seconds = time.monotonic() - self._phase_started
            changes = f", {self._changed_in_phase} changed" if self._changed_in_phase else ""
            self._tell(f"{self._phase:<42} {seconds:6.1f} s{changes}")
        self._phase, self._changed_in_phase, self._phase_started = "", 0, time.monotonic()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """A play is a phase."""
        self._end_phase()
        self._phase = play.get_name().strip()

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002 - Ansible gives it
        """The task's name, for those who want to see it."""
        if self._display.verbosity > 1:
            self._tell(f"    {task.get_name()}")

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """A handler is a task."""
        self.v2_playbook_on_task_start(task, False)

    def v2_runner_on_ok(self, result: Any) -> None:
        """Count the changes; show what the playbook wants to say."""
        if result._result.get("changed"):
            self._changed_in_phase += 1
            if self._display.verbosity > 0:
                self._tell(f"    changed: {result._host.get_name()}: {result._task.get_name()}", color="yellow")
        if result._task.action in ("debug", "ansible.builtin.debug"):
            message = result._result.get("msg", "")
            for line in message if isinstance(message, list) else str(message).splitlines():
                sys.stdout.write(f"{line}\n")
            sys.stdout.flush()

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Remember it for the last lines."""
        if not ignore_errors:
            self._failures.append((result._host.get_name(), result._task.get_name(), reason(result._result)))

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """An unreachable host is a failure of that host, unless the task expects it."""
        if not result._task.ignore_unreachable:
            self.v2_runner_on_failed(result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Totals, and the failures with their hosts and reasons."""
        self._end_phase()
        changed = sum(stats.changed.values())
        self._tell(f"{'total':<42} {time.monotonic() - self._started:6.1f} s, changed={changed}")
        for host, task, lines in self._failures:
            self._tell(f"FAILED at {host}: {task}", color="red")
            for line in lines:
                self._tell(f"  {line}", color="red")
        if self._failures:
            self._tell("Correct this, then run the same command again: it continues where it stopped.")
