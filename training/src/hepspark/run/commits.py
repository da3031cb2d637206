"""Commits: the state of a run after each step, each written once and never replaced.

`commits/<step>.npz` appears by one conditional write. Two drivers of one run can thus never both commit a step.
Each driver takes a generation when it starts; the one with the highest goes on, and the others stop when they
next commit, also a driver that was only paused meanwhile.
"""

import io
import json
import os
import socket
import zipfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hepspark.config import StorageConfig
from hepspark.errors import InputError, RunError
from hepspark.model.network import Floats
from hepspark.model.optimizer import AdamState
from hepspark.schema import COMMIT_SCHEMA
from hepspark.storage import join, numbered, store_for
from hepspark.versions import check_schema

KEPT = 3
"""Commits that stay; older ones are deleted."""

_FOLDER = "commits"
_GENERATIONS = "generations"
_ARRAYS = ("weights", "first_moment", "second_moment", "best_weights")


@dataclass(frozen=True)
class Commit:
    """A run after `step` steps."""

    step: int
    generation: int
    state: AdamState
    best_weights: Floats
    """Weights after the epoch with the lowest validation loss; the newest before the first epoch ends."""
    best_loss: float = float("inf")
    best_epoch: int = 0
    events: int = 0
    """Events applied so far: in every finished epoch, each training event once."""
    steps: tuple[dict[str, Any], ...] = ()
    """What each step of the current epoch did, the last step being this one."""
    epochs: tuple[dict[str, Any], ...] = field(default=())
    """Metrics of each finished epoch."""
    finished: str = ""
    """Why no step follows; empty while some do."""


class SupersededError(RunError):
    """Another driver has taken this run over."""


class StaleError(Exception):
    """An older driver committed this step first; the newest commit is to be loaded again."""


def take_generation(run: str, storage: StorageConfig) -> int:
    """Become the newest driver of a run."""
    holder = json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode()
    store = store_for(run, storage)
    generation = _newest_generation(run, storage) + 1
    # A holder's note is unique, so that a repeated request is not mistaken for another driver.
    note = holder + os.urandom(8).hex().encode()
    while not store.create(join(run, _GENERATIONS, f"{generation:08d}"), note):
        generation += 1
    return generation


def newest(run: str, storage: StorageConfig) -> Commit | None:
    """The newest commit of a run, or None before the first.

    Raises:
        InputError: it is not readable, or is of another schema version.
    """
    found = numbered(join(run, _FOLDER), storage, ".npz")
    if not found:
        return None
    url = found[max(found)]
    try:
        with np.load(io.BytesIO(store_for(url, storage).read(url)), allow_pickle=False) as content:
            arrays = {name: content[name] for name in _ARRAYS}
            meta = {"schema_version": 0} | json.loads(content["meta"].tobytes())
        check_schema(url, "commit", meta, COMMIT_SCHEMA, "choose another train.output")
        del meta["schema_version"]
        return Commit(
            state=AdamState(arrays["weights"], arrays["first_moment"], arrays["second_moment"], meta.pop("updates")),
            best_weights=arrays["best_weights"],
            steps=tuple(meta.pop("steps")),
            epochs=tuple(meta.pop("epochs")),
            **meta,
        )
    except (ValueError, TypeError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{url}: not a commit of this hepspark ({error}); delete it to continue from the commit before"
        ) from error


def write(run: str, commit: Commit, storage: StorageConfig) -> None:
    """Commit a step.

    Raises:
        SupersededError: a newer driver has taken over.
        StaleError: an older driver committed this step first.
    """
    if _newest_generation(run, storage) > commit.generation:
        raise SupersededError(f"{run}: a newer driver has taken this run over; this driver stops at step {commit.step}")
    meta = {
        "schema_version": COMMIT_SCHEMA,
        "step": commit.step,
        "generation": commit.generation,
        "updates": commit.state.updates,
        "best_loss": commit.best_loss,
        "best_epoch": commit.best_epoch,
        "events": commit.events,
        "steps": commit.steps,
        "epochs": commit.epochs,
        "finished": commit.finished,
    }
    buffer = io.BytesIO()
    np.savez(
        buffer,
        weights=commit.state.weights,
        first_moment=commit.state.first_moment,
        second_moment=commit.state.second_moment,
        best_weights=commit.best_weights,
        meta=np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8),
    )
    store = store_for(run, storage)
    if not store.create(_url(run, commit.step), buffer.getvalue()):
        if _newest_generation(run, storage) > commit.generation:
            raise SupersededError(f"{run}: a newer driver committed step {commit.step}; this driver stops")
        raise StaleError
    if commit.step > KEPT:
        store.delete(_url(run, commit.step - KEPT))


def _url(run: str, step: int) -> str:
    return join(run, _FOLDER, f"{step:08d}.npz")


def _newest_generation(run: str, storage: StorageConfig) -> int:
    return max(numbered(join(run, _GENERATIONS), storage), default=0)
