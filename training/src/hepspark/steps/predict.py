"""`hepspark predict`: class probabilities for every event of a data set, as Parquet.

Layout below the output:

    parts/<name>.parquet   one for each Parquet file of the input that has rows
    manifest.json          written last: parts with their checksums, the model, the sources

Columns of a part: `file_id` and `entry` name the event, `split` is the side it is on, `label` is its class (null where
unknown), `p_qcd`, `p_ttbar` and `p_wjets` are its class probabilities, `prediction` is the class that has the highest.

`split` is "train" for events that the model was or might have been trained or validated on, "test" for others: as in
the data set, or all "test" where the model's training was given the data set as test data. Published Parquet has no
split: `split` is null in files that took no part in the model's training, and is that training's side in the others.
"""

import hashlib
import json
import tempfile
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hepspark.config import Config, StorageConfig, given
from hepspark.errors import InputError, RunError
from hepspark.model import artefact
from hepspark.model.artefact import Model
from hepspark.progress import say
from hepspark.schema import CLASSES, NO_LABEL
from hepspark.scoring import check_fits, score_chunk, sided, trained_roles
from hepspark.session import spark_session
from hepspark.sources import Chunk, Events, Source, check_distinct, open_source
from hepspark.spark import run_tasks
from hepspark.storage import check_writable, join, name_of, refuse_strangers, store_for
from hepspark.supervision import UNSUPERVISED, Supervision
from hepspark.versions import versions

SCHEMA: Final = 2
"""Version of the output's layout."""

MANIFEST: Final = "manifest.json"

COLUMNS: Final = pa.schema(
    [
        pa.field("file_id", pa.string(), nullable=False),
        pa.field("entry", pa.int64(), nullable=False),
        pa.field("split", pa.string()),
        pa.field("label", pa.int8()),
        *(pa.field(f"p_{name}", pa.float32(), nullable=False) for name in CLASSES),
        pa.field("prediction", pa.int8(), nullable=False),
    ]
)
"""Arrow schema of a part."""

_OWN = "scores-"


def check(config: Config, made: Collection[str] = ()) -> None:
    """Refuse what can be known to fail without reading the data.

    Args:
        config: What to do.
        made: URLs that steps before this one will have made; they are not looked at.

    Raises:
        InputError: a key is not given, the model or the data is not usable, or the output cannot be used.
    """
    predict, storage = config.predict, config.storage
    output = given(predict.output, "predict.output")
    sources = [open_source(url, storage) for url in given(predict.input, "predict.input") if url not in made]
    if given(predict.model, "predict.model") not in made:
        check_fits(artefact.load(predict.model or "", storage), sources)
    check_writable(output, storage)


def finished(config: Config) -> dict[str, Any] | None:
    """The summary of finished scores of the same model and events, None where none are finished.

    Raises:
        InputError: see `run`.
    """
    model, sources, output = _asked(config)
    manifest = _finished(output, _identity(model, sources), config.storage)
    return _summary(output, manifest, unchanged=True) if manifest else None


def run(config: Config, supervision: Supervision = UNSUPERVISED) -> dict[str, Any]:
    """Score every event of the input, labelled or not, of both sides.

    Args:
        config: What to do.
        supervision: Who may stop it.

    Returns:
        Where the scores are, how many, and whether they were there before.

    Raises:
        InputError: the model or the data is not usable, or the output holds something else.
        RunError: another run finished the same output meanwhile.
    """
    check(config)
    done = finished(config)
    if not done:
        supervision.begin(config)
        done = finished(config)  # an earlier driver may have finished it meanwhile
    if done:
        say(f"{done['output']}: these scores exist already")
        return done
    storage = config.storage
    model, sources, output = _asked(config)
    identity = _identity(model, sources)
    tasks = [
        (chunk, f"{_OWN}{identity['model_fingerprint'][:12]}-{number:05d}.parquet")
        for number, chunk in enumerate(chunk for source in sources for chunk in source.chunks)
    ]
    with spark_session(config, supervision) as context:
        parts = run_tasks(context, partial(_score, model, output, storage), tasks, "Scoring events", "files")
    _remove_leftovers(output, parts, storage)
    manifest = identity | {
        "model": model.url,
        "sources": [{"url": source.url, "fingerprint": source.fingerprint} for source in sources],
        "rows": sum(part["rows"] for part in parts),
        "parts": parts,
        "versions": versions(),
    }
    target = join(output, MANIFEST)
    if not store_for(output, storage).create(target, json.dumps(manifest, indent=1).encode()):
        raise RunError(f"{target}: another run has written scores here; choose another predict.output, or use them")
    say(f"{manifest['rows']:,} events scored to {output}")
    return _summary(output, manifest, unchanged=False)


def _asked(config: Config) -> tuple[Model, list[Source], str]:
    """Model, data and output."""
    predict, storage = config.predict, config.storage
    output = given(predict.output, "predict.output")
    urls = given(predict.input, "predict.input")
    model = artefact.load(given(predict.model, "predict.model"), storage)
    trained = trained_roles(model)
    sources = [sided(open_source(url, storage), trained) for url in urls]
    check_distinct(sources, "predict.input")
    check_fits(model, sources)
    return model, sources, output


def _identity(model: Model, sources: Sequence[Source]) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA,
        "model_fingerprint": fingerprint(model),
        "source_fingerprints": [source.fingerprint for source in sources],
        "source_sides": [sorted({chunk.role for chunk in source.chunks}) for source in sources],
    }


def fingerprint(model: Model) -> str:
    """Names what a model computes: its network, weights and scaler, wherever they lie."""
    digest = hashlib.sha256(model.network.model_dump_json().encode())
    digest.update(model.scaler.model_dump_json().encode())
    digest.update(model.weights.astype("<f4").tobytes())
    return digest.hexdigest()


def _finished(output: str, identity: dict[str, Any], storage: StorageConfig) -> dict[str, Any] | None:
    """The manifest of finished scores of the same model and events, or None where nothing is finished."""
    store, target = store_for(output, storage), join(output, MANIFEST)
    if not store.exists(target):
        refuse_strangers(output, storage, "predict.output", [f"parts/{_OWN}*.parquet"])
        return None
    try:
        manifest = json.loads(store.read(target))
    except ValueError as error:
        raise InputError(f"{target}: exists and is not readable as JSON; choose another predict.output") from error
    if not isinstance(manifest, dict) or any(manifest.get(key) != value for key, value in identity.items()):
        raise InputError(f"{output}: exists, with scores of another model or other events; choose another output")
    return manifest


def _score(model: Model, output: str, storage: StorageConfig, task: tuple[Chunk, str]) -> dict[str, Any]:
    chunk, name = task
    events, scores = score_chunk(model, chunk, storage)
    table = pa.table(
        {
            "file_id": pa.array(events.file_id, pa.string()),
            "entry": events.entry,
            "split": _sides(model, chunk, events),
            "label": pa.array(events.label, pa.int8(), mask=events.label == NO_LABEL),
            **{f"p_{title}": scores[:, label] for label, title in enumerate(CLASSES)},
            "prediction": scores.argmax(axis=1).astype("int8"),
        },
        schema=COLUMNS,
    )
    path = f"parts/{name}"
    with tempfile.TemporaryDirectory(prefix="hepspark-") as folder:
        local = Path(folder) / name
        try:
            pq.write_table(table, local, compression="zstd")
        except OSError as error:
            raise RunError(f"{local}: cannot be written: {error}; free some space or set TMPDIR") from error
        content = local.read_bytes()
        store_for(output, storage).upload(local, join(output, path))
    return {
        "path": path,
        "rows": table.num_rows,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "source": chunk.url,
    }


def _sides(model: Model, chunk: Chunk, events: Events) -> pa.Array:
    if chunk.published and chunk.sha256 not in trained_roles(model):
        return pa.nulls(len(events.entry), pa.string())
    return pa.array(np.where(events.is_train, "train", "test"), pa.string())


def _remove_leftovers(output: str, parts: Sequence[dict[str, Any]], storage: StorageConfig) -> None:
    """Delete what an interrupted run with other inputs left, so that whoever reads the folder reads these scores."""
    store, current = store_for(output, storage), {name_of(part["path"]) for part in parts}
    for entry in store.walk(join(output, "parts")):
        if name_of(entry.url).startswith(_OWN) and name_of(entry.url) not in current:
            store.delete(entry.url)


def _summary(output: str, manifest: dict[str, Any], *, unchanged: bool) -> dict[str, Any]:
    return {"output": output, "rows": manifest["rows"], "parts": len(manifest["parts"]), "unchanged": unchanged}
