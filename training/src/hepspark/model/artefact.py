"""A trained model on disk: one directory that is there whole, or not at all.

weights.npz      the weights of each layer, in order
network.json     description of the network
scaler.json      mean and width of each feature
data.json        what it was trained on
config.json      the training configuration
metrics.json     metrics of each epoch, and the summary
manifest.json    written last: features, classes, versions, and the checksum of every other file
"""

import hashlib
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from hepspark.config import StorageConfig
from hepspark.errors import InputError
from hepspark.model.network import Floats, Network, unflatten
from hepspark.model.scaler import Scaler
from hepspark.schema import CLASSES, HLF, MODEL_SCHEMA
from hepspark.storage import join, store_for
from hepspark.versions import check_schema

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Model:
    """A trained network and all that is known of its making."""

    url: str
    network: Network
    weights: Floats
    """All weights in flat order, shape (network.size,)."""
    scaler: Scaler
    sources: tuple[dict[str, Any], ...]
    """Each with `url`, `role`, `fingerprint`, and `files`: see `run.plan.PlannedSource`."""
    counts: dict[str, dict[str, int]]
    """Side (train, validation) to class to events."""
    config: dict[str, Any]
    history: tuple[dict[str, Any], ...]
    """Metrics of each epoch."""
    summary: dict[str, Any]
    versions: dict[str, str]
    features: tuple[str, ...] = HLF
    classes: tuple[str, ...] = CLASSES


def save(model: Model, storage: StorageConfig) -> None:
    """Write a model to its URL; the manifest last."""
    weights = io.BytesIO()
    np.savez(weights, *unflatten(model.network, model.weights))
    files = {
        "weights.npz": weights.getvalue(),
        "network.json": model.network.model_dump_json(indent=1).encode(),
        "scaler.json": model.scaler.model_dump_json(indent=1).encode(),
        "data.json": _json({"sources": model.sources, "counts": model.counts}),
        "config.json": _json(model.config),
        "metrics.json": _json({"summary": model.summary, "epochs": model.history}),
    }
    store = store_for(model.url, storage)
    for name, content in files.items():
        store.write(join(model.url, name), content)
    manifest = {
        "schema_version": MODEL_SCHEMA,
        "features": model.features,
        "classes": model.classes,
        "versions": model.versions,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    store.write(join(model.url, MANIFEST), _json(manifest))


def exists(url: str, storage: StorageConfig) -> bool:
    """Whether a finished model is at a URL."""
    return store_for(url, storage).exists(join(url, MANIFEST))


def load(url: str, storage: StorageConfig) -> Model:
    """The model at a URL.

    Raises:
        InputError: there is none, it is of another schema version, or a file is missing or was altered.
    """
    if not exists(url, storage):
        raise InputError(f"{url}: no finished model here (no {MANIFEST}); train one with hepspark train")
    store = store_for(url, storage)
    manifest = _parsed(join(url, MANIFEST), store.read(join(url, MANIFEST)))
    check_schema(url, "model", manifest, MODEL_SCHEMA, "train it again")
    files = {}
    named = manifest.get("files")
    if not isinstance(named, dict) or not {"weights.npz", "data.json", "metrics.json"} <= named.keys():
        raise InputError(f"{join(url, MANIFEST)}: does not name the files of the model; copy the whole directory again")
    for name, expected in named.items():
        if not store.exists(join(url, name)):
            raise InputError(f"{join(url, name)}: this file of the model is missing; copy the whole directory again")
        files[name] = store.read(join(url, name))
        if hashlib.sha256(files[name]).hexdigest() != expected:
            raise InputError(
                f"{join(url, name)}: this file of the model was changed (the checksum differs); copy it again"
            )
    data, metrics = (_parsed(join(url, name), files[name]) for name in ("data.json", "metrics.json"))
    try:
        with np.load(io.BytesIO(files["weights.npz"]), allow_pickle=False) as arrays:
            weights = np.concatenate([arrays[name].ravel() for name in arrays.files])
        return Model(
            url=url,
            network=Network.model_validate_json(files["network.json"]),
            weights=weights.astype(np.float32),
            scaler=Scaler.model_validate_json(files["scaler.json"]),
            sources=tuple(data["sources"]),
            counts=data["counts"],
            config=_parsed(join(url, "config.json"), files["config.json"]),
            history=tuple(metrics["epochs"]),
            summary=metrics["summary"],
            versions=manifest["versions"],
            features=tuple(manifest["features"]),
            classes=tuple(manifest["classes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{url}: not a model of this hepspark: {error}") from error


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=1).encode()


def _parsed(url: str, content: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except ValueError as error:
        raise InputError(f"{url}: not readable as JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise InputError(f"{url}: expected an object, found a {type(parsed).__name__}")
    return parsed
