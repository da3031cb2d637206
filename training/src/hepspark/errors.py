"""The ways a run ends before it is finished, the exit code of each, and what to tell of errors that are not ours."""

import re


class HepsparkError(Exception):
    """A failure that is told in one message, without a stack trace.

    The message names the thing, the place and the remedy.
    """

    exit_code = 1

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows of it."""
        return [f"{type(self).__name__}: {self}"]


class InputError(HepsparkError):
    """What the user gave is wrong: a file, a key, a credential. Nothing was changed."""

    exit_code = 2


class UnreachableError(InputError):
    """A store does not answer: its address is wrong, unless it answered before (`Stop.begun`)."""


class RunError(HepsparkError):
    """The input is right, but the run could not be finished: a full disk, a lost store."""

    exit_code = 1


class TerminatedError(HepsparkError):
    """The process was asked to end, and did so where nothing is lost."""

    exit_code = 143  # what a shell gives for SIGTERM, so that nobody takes the run for finished


class HandedOverError(HepsparkError):
    """A newer submission of the run goes on with it.

    The exit code says "done": there is nothing left to do here, and any other code would make the Job start a pod
    again and again that finds the same.
    """

    exit_code = 0


_OF_EXECUTORS: dict[str, type[HepsparkError]] = {
    kind.__name__: kind for kind in (InputError, UnreachableError, RunError)
}


def told_by_executor(error: Exception) -> HepsparkError | None:
    """The error of ours that work on an executor ended with, out of the stack traces of two languages; None if none."""
    found = re.findall(rf"^hepspark\.errors\.({'|'.join(_OF_EXECUTORS)}): (.+)$", str(error), re.MULTILINE)
    if not found:
        return None
    kind, message = found[-1]
    return _OF_EXECUTORS[kind](message)


def first_line(error: BaseException) -> str:
    """What went wrong, without the stack of two languages."""
    text = str(error)
    causes = re.findall(r"Caused by: ([^\n]+)", text)
    if causes:
        return str(causes[-1])
    lines = [line.removeprefix(": ") for line in text.splitlines()]
    # py4j first names its own object.
    told = lines[1:] if lines and lines[0].startswith("An error occurred while calling") else lines
    return told[0] if told else type(error).__name__
