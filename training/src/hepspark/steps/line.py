"""`hepspark line`: ingest, train, evaluate, predict, one after the other."""

from typing import Any

from hepspark.config import Config
from hepspark.errors import InputError
from hepspark.progress import say
from hepspark.session import shared_session
from hepspark.steps import evaluate, ingest, predict, train
from hepspark.storage import join
from hepspark.supervision import UNSUPERVISED, Supervision


def run(config: Config, supervision: Supervision = UNSUPERVISED) -> dict[str, Any]:
    """Run every step whose output the configuration names.

    All that can be checked before the first step is checked then. Where training has begun, ingest is not repeated:
    the run has its own copy of its data.

    Args:
        config: What to do.
        supervision: Who may stop it.

    Returns:
        Summary by step.

    Raises:
        HepsparkError: see the steps.
    """
    wanted = [name for name in ("ingest", "train", "evaluate", "predict") if getattr(config, name).output]
    if not wanted:
        raise InputError("no output is given: set one or more of ingest, train, evaluate and predict.output")
    if "train" in wanted and train.is_planned(config) and "ingest" in wanted:
        wanted.remove("ingest")
        say(f"{config.ingest.output}: not changed, because {config.train.output} is already planned with it")
    _check(config, wanted)
    summaries = _finished(config, wanted)
    if len(summaries) == len(wanted):
        say("All steps are done already")
        return summaries
    supervision.begin(config)
    steps = {"ingest": ingest.run, "train": train.run, "evaluate": evaluate.run, "predict": predict.run}
    trains = "train" in wanted and "train" not in summaries
    with shared_session(train.fitting(config) if trains else config, supervision, bigdl=trains):
        for name in wanted:
            summaries[name] = _finished(config, [name]).get(name) or steps[name](config, supervision)
            supervision.stop_if_asked()
    return summaries


def _check(config: Config, wanted: list[str]) -> None:
    made: set[str] = set()
    if "ingest" in wanted:
        ingest.check(config)
        made.add(config.ingest.output or "")
    if "train" in wanted:
        train.check(config, made)
        if not train.finished(config):
            made.add(join(config.train.output or "", "model"))
    if "evaluate" in wanted:
        evaluate.check(config, made)
    if "predict" in wanted:
        predict.check(config, made)


def _finished(config: Config, wanted: list[str]) -> dict[str, Any]:
    """Summaries of the steps that are finished, each resting on those before it; ingest is never known to be."""
    found = {}
    for name, finished in (("train", train.finished), ("evaluate", evaluate.finished), ("predict", predict.finished)):
        if name in wanted:
            summary = finished(config)
            if summary is None:
                break
            found[name] = summary
    return found
