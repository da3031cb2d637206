"""ROOT files in, a data set of features and particle sequences out."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from hepspark import dataset, inputs
from hepspark.config import Config, IngestConfig, StorageConfig, given
from hepspark.dataset import Dataset, Excluded, Input, Manifest
from hepspark.errors import InputError
from hepspark.features import CUTS
from hepspark.parts import SPLITS, Range, Settings, Written, write_part
from hepspark.progress import say
from hepspark.rootfile import BadFileError
from hepspark.schema import CLASSES, DATASET_SCHEMA, NO_LABEL
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
        found = run_tasks(context, partial(inputs.examine, storage, skip), sources, "Looking at files", "files")
        chosen = inputs.choose(found, existing.manifest.inputs if existing else (), skip=skip)
        added, damaged = _process(context, chosen.new, output, ingest, storage)
    manifest = _manifest(existing, added, [*chosen.excluded, *damaged], ingest)
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
    output: str,
    ingest: IngestConfig,
    storage: StorageConfig,
) -> tuple[list[Input], list[Excluded]]:
    settings = Settings(
        output, ingest.particles, ingest.compatibility == "sparkdltrigger", ingest.entries_per_chunk, storage
    )
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
                url = join(output, outcome.part.path)
                store_for(url, storage).delete(url)
    return added, damaged


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
    return {name: total[name] for name in (*CUTS, *SPLITS)}


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
        counts=counts,
        inputs=tuple(files),
        excluded=tuple(dict.fromkeys([*before, *excluded])),
        versions=versions(),
        config=ingest.model_dump(mode="json"),
    )
    for name, flow in counts.items():
        if flow[CUTS[-1]] == 0:
            steps = ", ".join(f"{cut} {flow[cut]}" for cut in CUTS)
            aside = "".join(f"\n  {item.reason}" for item in manifest.excluded)
            raise InputError(f"class {name}: no event was selected ({steps}); give files with such events{aside}")
    return manifest


def _differs(manifest: Manifest, existing: Dataset | None) -> bool:
    if existing is None:
        return True
    return (manifest.inputs, manifest.excluded) != (existing.manifest.inputs, existing.manifest.excluded)


def _report(data: Dataset, changed: bool, n_added: int, n_known: int) -> None:
    for name, flow in data.manifest.counts.items():
        steps = " → ".join(f"{flow[cut]:,} {cut}" for cut in CUTS)
        say(f"{name}: {steps} ({', '.join(f'{flow[side]:,} {side}' for side in SPLITS)})")
    for item in data.manifest.excluded:
        say(f"set aside: {item.reason}")
    news = f"{n_added} files added, {n_known} known" if changed else f"nothing new in {n_known} files, nothing changed"
    say(f"{data.url}: version {data.version}, {news}")
