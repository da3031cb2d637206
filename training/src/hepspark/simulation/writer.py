"""Recorded events as ROOT files in the layout of Delphes."""

import math
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import awkward as ak
import numpy as np
import uproot
from numpy.typing import NDArray

from hepspark.simulation.particles import Particles
from hepspark.simulation.reconstruct import Recorded

TREE: Final = "Delphes"
PARENT: Final = "Event.Parent"
"""Number of the collision an event was made from, which no other collision has: events that share it are not
independent, and stay together in a merged file as well."""
BASKET_EVENTS: Final = 1_000
MANTISSA_BITS: Final = 12
"""Bits of a number's fraction that are kept: a precision of 1.2e-4, far finer than the detector's."""
PHI_MAX: Final = math.floor(math.pi * 2 ** (MANTISSA_BITS - 1)) / 2 ** (MANTISSA_BITS - 1)
"""The largest azimuth that these bits can tell and that is not beyond π."""


def write(path: Path, batches: Iterable[Recorded], identity: uuid.UUID) -> None:
    """Write recorded events, in baskets of at least 1,000; memory does not grow with their number.

    Args:
        path: The new file.
        batches: At least one.
        identity: The file's UUID.
    """
    with uproot.recreate(path, compression=uproot.ZSTD(19), uuid_function=lambda: identity) as file:
        tree = None
        for columns in _baskets(_columns(batch) for batch in batches):
            if tree is None:
                tree = file.mktree(
                    TREE,
                    {name: column.type.content for name, column in columns.items()},
                    title="Analysis tree",
                    counter_name=lambda collection: collection + "_size",
                    field_name=lambda collection, field: f"{collection}.{field}",
                )
            tree.extend(columns)


def _baskets(parts: Iterable[dict[str, ak.Array]]) -> Iterator[dict[str, ak.Array]]:
    waiting: list[dict[str, ak.Array]] = []
    for part in parts:
        waiting.append(part)
        if sum(len(held[PARENT]) for held in waiting) >= BASKET_EVENTS:
            yield _joined(waiting)
            waiting = []
    if waiting:
        yield _joined(waiting)


def _joined(parts: list[dict[str, ak.Array]]) -> dict[str, ak.Array]:
    return {name: ak.concatenate([part[name] for part in parts]) for name in parts[0]}


def round_mantissa(values: NDArray[Any]) -> NDArray[np.float32]:
    """Single precision rounded to 12 bits of fraction: the zeros that follow compress to nothing."""
    dropped = np.uint32(23 - MANTISSA_BITS)
    bits = values.astype(np.float32).view(np.uint32)
    half = np.uint32(1) << (dropped - np.uint32(1))
    return ((bits + half) >> dropped << dropped).view(np.float32)


def round_phi(azimuths: NDArray[Any]) -> NDArray[np.float32]:
    """Azimuths within ±π, rounded like all numbers but never beyond ±π.

    Readers that bring differences of azimuths into ±π take those beyond for another turn.
    """
    return np.clip(round_mantissa(azimuths), np.float32(-PHI_MAX), np.float32(PHI_MAX))


def _columns(recorded: Recorded) -> dict[str, ak.Array]:
    events = len(recorded)

    def collection(of: Particles, **fields: NDArray[Any]) -> ak.Array:
        stored = {name: _stored(name, values) for name, values in fields.items()}
        return ak.unflatten(ak.zip(stored), np.bincount(of.event, minlength=events))

    def lepton(of: Particles) -> ak.Array:
        charge = -np.sign(of.pid).astype(np.int32)
        return collection(of, PT=of.pt, Eta=of.eta, Phi=of.phi, Charge=charge)

    tracks, photons, neutrals, jets = recorded.tracks, recorded.photons, recorded.neutral_hadrons, recorded.jets
    missing = {"MET": round_mantissa(recorded.missing_et), "Phi": round_phi(recorded.missing_phi)}
    return {
        PARENT: ak.Array(recorded.parent),
        "EFlowTrack": collection(
            tracks,
            PT=tracks.pt, Eta=tracks.eta, Phi=tracks.phi, PID=tracks.pid.astype(np.int32),
            X=tracks.x, Y=tracks.y, Z=tracks.z,
        ),
        "EFlowPhoton": collection(photons, ET=photons.pt, Eta=photons.eta, Phi=photons.phi),
        "EFlowNeutralHadron": collection(neutrals, ET=neutrals.pt, Eta=neutrals.eta, Phi=neutrals.phi),
        "Electron": lepton(recorded.electrons),
        "MuonTight": lepton(recorded.muons),
        "MissingET": ak.unflatten(ak.zip(missing), np.ones(events, np.int64)),
        "Jet": collection(jets, PT=jets.pt, Eta=jets.eta, Phi=jets.phi, BTag=recorded.b_tag.astype(np.uint32)),
    }  # fmt: skip


def _stored(name: str, values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype != np.float64:
        return values
    return round_phi(values) if name == "Phi" else round_mantissa(values)
