"""ROOT files in, a data set of features and particle sequences out."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hepspark import copies, dataset, inputs
from hepspark.config import Config, IngestConfig, StorageConfig, given
from hepspark.dataset import Dataset, Excluded, Input, Manifest, Part
from hepspark.errors import InputError
from hepspark.parts import FLOW, SPLITS, Range, Settings, Written, without, write_part
from hepspark.progress import say
from hepspark.rootfile import BadFileError
from hepspark.schema import CLASSES, DATASET_SCHEMA, HLF, NO_LABEL
from hepspark.session import spark_session
from hepspark.spark import run_tasks
from hepspark.storage import check_writable, join, name_of, refuse_strangers, store_for
from hepspark.supervision import UNSUPERVISED, Supervision
from hepspark.versions import versions

if TYPE_CHECKING:
    from pyspark import SparkContext


def check(config: Config) -> None:
    """Refuse what can be known to fail without reading a file.

    Raises:
        InputError: a key is not given, no file is there, or the output cannot be used.
    """
    ingest, storage = config.ingest, config.storage
    output = given(ingest.output, "ingest.output")
    _existing(output, ingest, storage)
    inputs.resolve(given(ingest.input, "ingest.input"), storage)
    check_writable(output, storage)


def run(config: Config, supervision: Supervision = UNSUPERVISED) -> dict[str, Any]:
    """Add ROOT files to a data set, which appears or changes when all are done, or not at all.

    Args:
        config: What to do.
        supervision: Who may stop it.

    Raises:
        InputError: a file, the configuration or what lies at the output is wrong.
        RunError: a disk is full, or a store fails.
    """
    started = time.monotonic()
    ingest, storage = config.ingest, config.storage
    check(config)
    supervision.begin(config)
    output = given(ingest.output, "ingest.output")
    existing = _existing(output, ingest, storage)
    sources = inputs.resolve(ingest.input, storage)
    skip = ingest.on_bad_file == "skip"
    with spark_session(config, supervision) as context:
        found = run_tasks(context, partial(inputs.examine, storage, skip), sources, "Checking files", "files")
        chosen = inputs.choose(found, existing.manifest.inputs if existing else (), skip=skip)
        settings = Settings(
            output, ingest.particles, ingest.compatibility == "sparkdltrigger", ingest.entries_per_chunk, storage
        )
        added, damaged = _process(context, chosen.new, settings, ingest)
        urls = {file.survey.file_id: file.source.url for file in (*chosen.new, *chosen.known)}
        before = existing.manifest.inputs if existing else ()
        added, doubled = _distinct(context, before, added, urls, settings, skip=skip)
    manifest = _manifest(existing, added, [*chosen.excluded, *damaged, *doubled], ingest)
    changed = _differs(manifest, existing)
    if changed:
        existing = dataset.commit(output, existing.version + 1 if existing else 1, manifest, storage)
    assert existing is not None  # noqa: S101 (without a data set, a manifest always differs)
    _report(existing, changed, len(added), len(chosen.known))
    seconds = time.monotonic() - started
    return {
        "output": output,
        "version": existing.version,
        "changed": changed,
        "files_added": len(added),
        "files_known": len(chosen.known),
        "events_read": sum(file.entries for file in added),
        "excluded": [item.model_dump() for item in existing.manifest.excluded],
        "counts": existing.manifest.counts,
        "fingerprint": existing.fingerprint,
        "seconds": round(seconds, 3),
    }


def _existing(output: str, ingest: IngestConfig, storage: StorageConfig) -> Dataset | None:
    existing = dataset.find(output, storage)
    if existing is None:
        refuse_strangers(output, storage, "ingest.output", ["parts/*.parquet"])
        return None
    for key in ("particles", "compatibility"):
        there, wanted = getattr(existing.manifest, key), getattr(ingest, key)
        if there != wanted:
            raise InputError(
                f"{output}: the data set there was made with ingest.{key}={str(there).lower()}, not "
                f"{str(wanted).lower()}; give the same value, or choose another ingest.output"
            )
    return existing


def _process(
    context: "SparkContext",
    new: Sequence[inputs.Candidate],
    settings: Settings,
    ingest: IngestConfig,
) -> tuple[list[Input], list[Excluded]]:
    ranges = [entries for candidate in new for entries in _ranges(candidate, ingest.entries_per_task)]
    work = partial(_attempt, settings, ingest.on_bad_file == "skip")
    results = run_tasks(context, work, ranges, "Computing features", "parts")
    outcomes = dict(zip(ranges, results, strict=True))
    added, damaged = [], []
    for candidate in new:
        mine = [outcomes[entries] for entries in _ranges(candidate, ingest.entries_per_task)]
        written = [outcome for outcome in mine if isinstance(outcome, Written)]
        if len(written) == len(mine):
            added.append(_input(candidate, written))
            continue
        damaged.append(next(outcome for outcome in mine if isinstance(outcome, Excluded)))
        for outcome in written:
            if outcome.part:
                url = join(settings.output, outcome.part.path)
                store_for(url, settings.storage).delete(url)
    return added, damaged


def _distinct(
    context: "SparkContext",
    known: Sequence[Input],
    new: Sequence[Input],
    urls: Mapping[str, str],
    settings: Settings,
    *,
    skip: bool,
) -> tuple[list[Input], list[Excluded]]:
    """New files without the events that are there already, in this run's files or in the data set's.

    Args:
        context: Spark.
        known: What the data set was made from before.
        new: What was added, in the order in which an event's first file keeps it.
        urls: UUID to URL of the files that were given now, for messages.
        settings: Of the run.
        skip: Whether to take each event once, instead of refusing all.

    Raises:
        InputError: an event is there twice, and is not to be skipped or belongs to two classes.
    """
    if not new:
        return [], []
    files = [*known, *new]
    hashes = iter(run_tasks(context, partial(_hashes, settings), _parts(files), "Comparing events", "parts"))
    found = copies.find(
        [np.concatenate([np.empty(0, np.int64), *(next(hashes) for _ in file.parts)]) for file in files]
    )
    names = [urls.get(file.file_id, file.name) for file in files]
    for group, first in found.shared:
        if files[group].class_name != files[first].class_name:
            here, there = (f"{names[number]} of class {files[number].class_name}" for number in (group, first))
            raise InputError(f"{copies.sentence(here, there, found.shared[group, first])}; correct ingest.input")
    if not found.shared:
        return list(new), []
    if not skip:
        raise InputError(
            "\n".join(copies.told(found.shared, names))
            + "\nThese are copies of events. Leave out the files with the copies. Or set ingest.on_bad_file=skip: then "
            "each event is taken once, from the first file"
        )
    pairs: dict[int, dict[tuple[int, int], int]] = {}
    for pair, count in found.shared.items():
        pairs.setdefault(pair[0], {})[pair] = count
    doubled = [
        Excluded(name=files[group].name, reason="; ".join([*copies.told(own, names), "each event is taken once"]))
        for group, own in pairs.items()
    ]
    return _without(context, new, found.later[len(known) :], settings), doubled


def _hashes(settings: Settings, part: Part) -> npt.NDArray[np.int64]:
    return dataset.read_hashes(join(settings.output, part.path), settings.storage)


def _parts(files: Iterable[Input]) -> list[Part]:
    return [part for file in files for part in file.parts]


def _without(
    context: "SparkContext", files: Sequence[Input], later: Sequence[npt.NDArray[np.bool_]], settings: Settings
) -> list[Input]:
    """The files with those rows taken out of their parts that are copies."""
    parts = _parts(files)
    gone = np.split(np.concatenate(later), np.cumsum([part.rows for part in parts])[:-1])
    affected = [(part, mask) for part, mask in zip(parts, gone, strict=True) if mask.any()]
    made = run_tasks(context, partial(without, settings), affected, "Removing copies", "parts")
    changed = dict(zip((part for part, _ in affected), made, strict=True))
    result = []
    for file in files:
        outcomes = [changed.get(part, Written(part, {})) for part in file.parts]
        fewer = Counter[str]()
        for outcome in outcomes:
            fewer.update(outcome.counts)
        flow = {name: count - fewer[name] for name, count in file.cut_flow.items()}
        kept = tuple(outcome.part for outcome in outcomes if outcome.part)
        result.append(file.model_copy(update={"cut_flow": flow, "parts": kept}))
    return result


def _ranges(candidate: inputs.Candidate, length: int) -> list[Range]:
    source, survey = candidate.source, candidate.survey
    label = CLASSES.index(source.class_name) if source.class_name in CLASSES else NO_LABEL
    return [
        Range(source.url, survey.file_id, label, start, min(start + length, survey.entries))
        for start in range(0, survey.entries, length)
    ]


def _attempt(settings: Settings, skip: bool, entries: Range) -> Written | Excluded:
    try:
        return write_part(settings, entries)
    except BadFileError as error:
        if not skip:
            raise
        return Excluded(name=name_of(entries.url), reason=str(error))


def _input(candidate: inputs.Candidate, written: Sequence[Written]) -> Input:
    return Input(
        name=name_of(candidate.source.url),
        class_name=candidate.source.class_name,
        file_id=candidate.survey.file_id,
        size=candidate.survey.size,
        sha256=candidate.survey.sha256,
        entries=candidate.survey.entries,
        cut_flow=_sum(outcome.counts for outcome in written),
        parts=tuple(outcome.part for outcome in written if outcome.part),
    )


def _sum(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for item in counts:
        total.update(item)
    return {name: total[name] for name in (*FLOW, *SPLITS)}


def _manifest(
    existing: Dataset | None, added: Sequence[Input], excluded: Sequence[Excluded], ingest: IngestConfig
) -> Manifest:
    files = [*(existing.manifest.inputs if existing else ()), *added]
    # A file that was set aside once and is whole now is no longer excluded.
    names = {file.name for file in added}
    before = [item for item in (existing.manifest.excluded if existing else ()) if item.name not in names]
    counts = {
        name: _sum(file.cut_flow for file in files if file.class_name == name)
        for name in dict.fromkeys([*(file.class_name for file in files), *ingest.input])
    }
    manifest = Manifest(
        schema_version=DATASET_SCHEMA,
        particles=ingest.particles,
        compatibility=ingest.compatibility,
        features=HLF,
        classes=CLASSES,
        counts=counts,
        inputs=tuple(files),
        excluded=tuple(dict.fromkeys([*before, *excluded])),
        versions=versions(),
        config=ingest.model_dump(mode="json"),
    )
    for name, flow in counts.items():
        if flow[FLOW[-1]] == 0:
            steps = ", ".join(f"{cut} {flow[cut]}" for cut in FLOW)
            aside = "".join(f"\n  {item.reason}" for item in manifest.excluded)
            raise InputError(f"class {name}: no event was selected ({steps}); give files with such events{aside}")
    return manifest


def _differs(manifest: Manifest, existing: Dataset | None) -> bool:
    if existing is None:
        return True
    return (manifest.inputs, manifest.excluded) != (existing.manifest.inputs, existing.manifest.excluded)


def _report(data: Dataset, changed: bool, n_added: int, n_known: int) -> None:
    for name, flow in data.manifest.counts.items():
        steps = " → ".join(f"{flow[cut]:,} {cut}" for cut in FLOW)
        say(f"{name}: {steps} ({', '.join(f'{flow[side]:,} {side}' for side in SPLITS)})")
    for item in data.manifest.excluded:
        say(f"set aside: {item.reason}")
    news = f"{n_added} files added, {n_known} known" if changed else f"nothing new in {n_known} files, nothing changed"
    say(f"{data.url}: version {data.version}, {news}")
