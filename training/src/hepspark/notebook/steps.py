"""The steps of the line on a notebook's Spark, with the keys of their sections of the configuration."""

import importlib
from os import PathLike, fspath
from typing import Any

from hepspark.config import checked
from hepspark.notebook.application import opened
from hepspark.progress import cell_display, say
from hepspark.session import sharing
from hepspark.spark import tidy


def ingest(**section: Any) -> dict[str, Any]:
    """Turn ROOT files into a data set: `ingest(input={"ttbar": ["events/*.root"]}, output=…)`.

    Args:
        section: Keys of the configuration's section of this name.

    Returns:
        What it found and wrote.

    Raises:
        InputError: a key, a file or the output is wrong.
        RunError: a disk is full, or a store fails.
    """
    return _run("ingest", _section("ingest", section))


def train(**section: Any) -> dict[str, Any]:
    """Train a network, or continue a run: `train(input=[data_set], output=…, epochs=10)`.

    Args:
        section: Keys of the configuration's section of this name.

    Returns:
        The model's URL, the counts of its data and its final metrics.

    Raises:
        InputError: a key, the data or the output is wrong.
        RunError: a step failed; the commit before it stands.
    """
    own = _section("train", section)
    if cell_display() and own.output:
        say(
            f"The state of this training is in {own.output}. If you close this page, the training goes on, but what it "
            "shows is lost. To see it again, open the notebook, press ■, and run this cell again: it tells the epochs "
            "so far and goes on from the last commit"
        )
    return _run("train", own)


def evaluate(**section: Any) -> dict[str, Any]:
    """Evaluate a model on its test events, with a report: `evaluate(model=…, output=…)`.

    Args:
        section: Keys of the configuration's section of this name.

    Returns:
        The figures of the report.

    Raises:
        InputError: a key, the model or the data is wrong.
    """
    return _run("evaluate", _section("evaluate", section))


def predict(**section: Any) -> dict[str, Any]:
    """Score every event of data sets: `predict(model=…, input=[data_set], output=…)`.

    Args:
        section: Keys of the configuration's section of this name.

    Returns:
        How many events were scored, and where the scores are.

    Raises:
        InputError: a key, the model or the data is wrong.
    """
    return _run("predict", _section("predict", section))


def _section(name: str, section: dict[str, Any]) -> Any:
    """The section of the configuration that a step reads."""
    given = {key: _plain(value, several=key.endswith("input")) for key, value in section.items()}
    return getattr(checked({name: given}, f"hepspark.notebook.{name}"), name)


def _run(name: str, own: Any) -> dict[str, Any]:
    application = opened()
    config = application.config.model_copy(update={name: own})
    step = importlib.import_module(f"hepspark.steps.{name}")
    # Set around each step: a cell may run in a copy of the context that an earlier one ran in.
    with sharing(application.context), tidy(application.context):
        result: dict[str, Any] = step.run(config)
    return result


def _plain(value: Any, *, several: bool) -> Any:
    """A value as the configuration has it: paths as text, and one URL as a list of one."""
    if isinstance(value, PathLike):
        value = fspath(value)
    if isinstance(value, dict):
        return {key: _plain(inner, several=several) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, several=False) for inner in value]
    return [value] if several and isinstance(value, str) else value
