"""Runs one command of the line under supervision, and leaves the message that Kubernetes shows of an ended pod."""

import importlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hepspark.config import Config, load
from hepspark.errors import HepsparkError, first_line
from hepspark.place import argument
from hepspark.storage import store_for
from hepspark.supervision import Supervision, stoppable

_LONGEST_MESSAGE = 4096  # Kubernetes takes no more
_WITHOUT_SPARK = ("simulate",)


def run_step(name: str, path: str | Path | None, overrides: Sequence[str], summary_url: str | None) -> dict[str, Any]:
    """Run a step, and return its summary.

    Args:
        name: The module in `hepspark.steps`.
        path: Configuration file.
        overrides: On top of it.
        summary_url: Where the summary is to be written, if anywhere.

    Raises:
        HepsparkError: see the step; the message is left in TERMINATION_LOG too.
    """
    try:
        config = load(path, overrides)
        if summary_url:
            summary_url = argument("--summary", summary_url)
        step = importlib.import_module(f"hepspark.steps.{name}")
        if name in _WITHOUT_SPARK:
            result: dict[str, Any] = step.run(config)
        else:
            result = _supervised(step.run, config)
        if summary_url:
            store_for(summary_url, config.storage).write(summary_url, json.dumps(result, indent=1).encode())
    except BaseException as error:
        _leave(str(error) if isinstance(error, HepsparkError) else f"{type(error).__name__}: {first_line(error)}")
        raise
    _leave(headline(result))
    return result


def _supervised(run: Callable[[Config, Supervision], dict[str, Any]], config: Config) -> dict[str, Any]:
    """Run a step with SIGTERM's handler, and in a Job of Kubernetes with the run's Lease and Events."""
    from hepspark.cluster.driver import JobSupervision, is_in_job

    with stoppable() as stop:
        if not is_in_job():
            with stop.explained():
                return run(config, stop)
        job = JobSupervision(stop)
        try:
            with stop.explained():
                result = run(config, job)
        except BaseException as error:
            job.finish(error, "")
            raise
        job.finish(None, headline(result))
        return result


def headline(result: dict[str, Any]) -> str:
    """The result of a step or of the line in one line, as far as it has figures."""
    told = []
    evaluated, trained = result.get("evaluate", result), result.get("train", result)
    if "auc" in evaluated:
        told.append("AUC " + ", ".join(f"{name} {value:.4f}" for name, value in evaluated["auc"].items()))
        told.append(f"accuracy {evaluated['accuracy']:.4f}")
    if "best_epoch" in trained:
        told.append(f"best epoch {trained['best_epoch']} of {trained['epochs']}")
        told.append(f"validation accuracy {trained['validation_accuracy']:.4f}")
        told.append(f"model {trained['model']}")
    if "rows" in (predicted := result.get("predict", result)):
        told.append(f"{predicted['rows']:,} events scored to {predicted['output']}")
    if not told and "version" in (ingested := result.get("ingest", result)):
        told.append(f"data set {ingested['output']}, version {ingested['version']}")
    return "; ".join(told) or "done"


def _leave(message: str) -> None:
    """Write the message that Kubernetes shows of an ended container."""
    path = os.environ.get("TERMINATION_LOG")
    if path:
        try:
            Path(path).write_bytes(message.encode()[:_LONGEST_MESSAGE])
        except OSError:
            return  # the message is on standard error, too
