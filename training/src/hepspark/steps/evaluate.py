"""`hepspark evaluate`: how well a model does on events it never saw, as JSON and as a report page."""

import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np

from hepspark import __version__, dataset, metrics
from hepspark.cluster.driver import is_in_job
from hepspark.config import Config, StorageConfig, given
from hepspark.errors import InputError
from hepspark.model import artefact
from hepspark.model.artefact import Model
from hepspark.model.network import Network
from hepspark.overlap import check_apart
from hepspark.place import argument
from hepspark.progress import say
from hepspark.report.axes import Axis, for_features
from hepspark.report.content import Content, FeatureHistogram, SourceSummary
from hepspark.report.render import render
from hepspark.schema import CLASSES, HLF
from hepspark.scoring import ScoredTestSide, check_fits, score_test_side, sided, trained_roles
from hepspark.session import spark_session
from hepspark.sources import NothingThereError, Source, check_distinct, open_source
from hepspark.spark import run_tasks
from hepspark.storage import check_writable, is_s3, join, refuse_strangers, store_for
from hepspark.supervision import UNSUPERVISED, Supervision


def check(config: Config, made: Collection[str] = ()) -> None:
    """Refuse what can be known to fail without reading the data.

    Args:
        config: What to do.
        made: URLs that steps before this one will have made; they are not looked at.

    Raises:
        InputError: a key is not given, the model or its data is not usable, or the output cannot be used.
    """
    evaluate, storage = config.evaluate, config.storage
    output = given(evaluate.output, "evaluate.output")
    refuse_strangers(output, storage, "evaluate.output", ["report.html", "evaluation.json"])
    if given(evaluate.model, "evaluate.model") not in made:
        _sources(artefact.load(evaluate.model or "", storage), config)
    check_writable(output, storage)


def finished(config: Config) -> dict[str, Any] | None:
    """The summary of an evaluation of the same model on the same data, None where none is finished."""
    evaluate, storage = config.evaluate, config.storage
    output = given(evaluate.output, "evaluate.output")
    store, url = store_for(output, storage), join(output, "evaluation.json")
    if not store.exists(url):
        return None
    model = artefact.load(given(evaluate.model, "evaluate.model"), storage)
    try:
        content = json.loads(store.read(url))
        same = {
            "model": model.url,
            "trained": str(model.summary.get("finished", "")),
            "signal": evaluate.signal,
            "version": __version__,
        }
        of_sources = [source["fingerprint"] for source in content["sources"]]
        if any(content[key] != value for key, value in same.items()) or of_sources != [
            source.fingerprint for source in _sources(model, config)
        ]:
            return None
        points = [point["background_efficiency"] for point in content["metrics"]["working_points"]]
        if list(dict.fromkeys(points)) != list(dict.fromkeys(evaluate.background_efficiencies)):
            return None
        return _summary(output, content)
    except (ValueError, KeyError, TypeError):
        return None  # of another version: it is made again


def run(config: Config, supervision: Supervision = UNSUPERVISED) -> dict[str, Any]:
    """Score the test side and write `evaluation.json` and `report.html`.

    Args:
        config: What to do.
        supervision: Who may stop it.

    Returns:
        Where both are, the events of each class, the accuracy, and the AUC of each class against the rest.

    Raises:
        InputError: the model or the data is not usable, or a class has no test event.
    """
    evaluate, storage = config.evaluate, config.storage
    check(config)
    supervision.begin(config)
    output = given(evaluate.output, "evaluate.output")
    model = artefact.load(given(evaluate.model, "evaluate.model"), storage)
    sources = _sources(model, config)
    axes = for_features(model.scaler.mean, model.scaler.width)
    chunks = [chunk for source in sources for chunk in source.chunks]
    with spark_session(config, supervision) as context:
        check_apart(context, sources, "evaluate.input", storage)
        scored = run_tasks(
            context, partial(score_test_side, model, axes, storage), chunks, "Scoring test events", "files"
        )
    measured = metrics.compute(
        np.concatenate([np.empty(0, np.int8), *(part.labels for part in scored)]),
        np.concatenate([np.empty((0, len(CLASSES)), np.float32), *(part.scores for part in scored)]),
        evaluate.signal,
        evaluate.background_efficiencies,
    )
    content = Content(
        model=model.url,
        network=_describe(model.network),
        trained=str(model.summary.get("finished", "")),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        version=__version__,
        sources=_summaries(sources, scored, storage),
        signal=evaluate.signal,
        metrics=measured,
        features=_histograms(axes, scored),
        history=model.history,
        best_epoch=model.summary.get("best_epoch"),
    )
    summary = _write(content, output, storage)
    if is_in_job() and is_s3(output):
        tell_link(summary["report"], storage)
    return summary


def tell_link(report: str, storage: StorageConfig) -> None:
    """End the log with a link to the report: who reads a pod's log seldom has keys to the store."""
    from hepspark.storage import s3  # boto3 takes half a second to import

    address, end = s3.link(report, s3.LONGEST_LINK_HOURS, storage)
    say(f"Link to the report, without S3 keys, valid until {end}: {address}")


def _sources(model: Model, config: Config) -> list[Source]:
    """What is evaluated on: the sources that are named, or those of the model that have a test side."""
    trained = trained_roles(model)
    given_apart = [source for source in model.sources if source["role"] == "test"]
    own = given_apart or [source for source in model.sources if source["role"] == "split"]
    named = [open_source(url, config.storage) for url in config.evaluate.input]
    sources = [sided(source, trained) for source in named or [_recorded(model, record, config) for record in own]]
    check_distinct(sources, "evaluate.input")
    check_fits(model, sources)
    for source in sources:
        if all(chunk.role == "train" for chunk in source.chunks):
            raise InputError(
                f"{source.url}: the model was trained on all of these events; name test data in evaluate.input"
            )
    return sources


def _recorded(model: Model, record: dict[str, Any], config: Config) -> Source:
    """Data that a model was trained on: at the place of then, or where the configuration has the same data now."""
    url = argument(f"{model.url}: recorded data", record["url"])
    try:
        return open_source(url, config.storage)
    except NothingThereError as error:
        for other in (*config.train.input, *config.train.test_input):
            with suppress(NothingThereError):
                found = open_source(other, config.storage)
                if found.fingerprint == record["fingerprint"]:
                    return found
        relative = (
            "" if url == record["url"] else f" (recorded as {record['url']}, which is relative to another folder)"
        )
        raise InputError(
            f"{model.url}: the model was trained on {url}{relative}, and there are no events; name the place of this "
            "data in evaluate.input"
        ) from error


def _summaries(
    sources: Sequence[Source], scored: Sequence[ScoredTestSide], storage: StorageConfig
) -> tuple[SourceSummary, ...]:
    remaining = iter(scored)
    made = []
    for source in sources:
        counts = np.zeros(len(CLASSES), dtype=np.int64)
        for _ in source.chunks:
            counts += np.bincount(next(remaining).labels, minlength=len(CLASSES))
        found = dataset.find(source.url, storage)
        cut_flow = found.manifest.counts if found else {}
        made.append(SourceSummary(source.url, source.fingerprint, tuple(counts.tolist()), cut_flow))
    return tuple(made)


def _histograms(axes: Sequence[Axis], scored: Sequence[ScoredTestSide]) -> tuple[FeatureHistogram, ...]:
    totals = [np.sum([part.histograms[k] for part in scored], axis=0) for k in range(len(axes))]
    return tuple(
        FeatureHistogram(axis, tuple(tuple(row) for row in total.tolist()))
        for axis, total in zip(axes, totals, strict=True)
    )


def _describe(network: Network) -> str:
    layers = ", ".join(f"dense {layer.units} {layer.activation}" for layer in network.layers)
    return f"{network.name}: {len(HLF)} features, {layers} ({network.size:,} weights)"


def _write(content: Content, output: str, storage: StorageConfig) -> dict[str, Any]:
    store = store_for(output, storage)
    report, evaluation = join(output, "report.html"), join(output, "evaluation.json")
    found = content.as_json()
    store.write(report, render(content).encode())
    store.write(evaluation, json.dumps(found, indent=1, allow_nan=False).encode())
    measured = content.metrics
    areas = ", ".join(f"{roc.signal} {roc.auc:.4f}" for roc in measured.one_vs_rest)
    say(f"AUC against the rest: {areas}; accuracy {measured.accuracy.value:.4f}")
    say(f"Report: {report}")
    return _summary(output, found)


def _summary(output: str, content: dict[str, Any]) -> dict[str, Any]:
    measured = content["metrics"]
    return {
        "report": join(output, "report.html"),
        "evaluation": join(output, "evaluation.json"),
        "events": dict(zip(CLASSES, measured["events"], strict=True)),
        "accuracy": measured["accuracy"]["value"],
        "auc": {roc["signal"]: roc["auc"] for roc in measured["one_vs_rest"]},
    }
