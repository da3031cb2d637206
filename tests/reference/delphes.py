"""Hand-made and random events in Delphes layout, and ROOT files of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from hepspark import events

FIELDS = {
    "EFlowTrack": ("PT", "Eta", "Phi", "PID", "X", "Y", "Z"),
    "EFlowPhoton": ("ET", "Eta", "Phi"),
    "EFlowNeutralHadron": ("ET", "Eta", "Phi"),
    "Electron": ("PT", "Eta", "Phi", "Charge"),
    "MuonTight": ("PT", "Eta", "Phi", "Charge"),
    "Jet": ("PT", "Eta", "BTag"),
    "MissingET": ("MET", "Phi"),
}
INTEGERS = {"PID": np.int32, "Charge": np.int32, "BTag": np.uint32}


@dataclass
class Event:
    """One event: each collection is a list of tuples in the order of FIELDS."""

    tracks: list[tuple[float, ...]] = field(default_factory=list)
    photons: list[tuple[float, ...]] = field(default_factory=list)
    neutrals: list[tuple[float, ...]] = field(default_factory=list)
    electrons: list[tuple[float, ...]] = field(default_factory=list)
    muons: list[tuple[float, ...]] = field(default_factory=list)
    jets: list[tuple[float, ...]] = field(default_factory=list)
    met: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        """Round to single precision, which is what a ROOT file keeps."""
        for item in fields(self):
            value = getattr(self, item.name)
            rounded = _single(value) if item.name == "met" else [_single(row) for row in value]
            setattr(self, item.name, rounded)

    def rows(self) -> list[list[tuple[float, ...]]]:
        """The collections in the order of FIELDS."""
        return [[self.met] if item.name == "met" else getattr(self, item.name) for item in fields(self)]


def _single(row: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(np.float32(value)) for value in row)


def random_events(rng: np.random.Generator, n: int, size: int = 40) -> list[Event]:
    """Events with leptons near the cuts, tied momenta, empty collections and cones across φ = ±π."""
    return [_random_event(rng, size) for _ in range(n)]


def _random_event(rng: np.random.Generator, size: int) -> Event:
    leptons = [_lepton(rng) for _ in range(rng.choice(4, p=[0.1, 0.5, 0.3, 0.1]))]
    electrons = [lepton for lepton in leptons if rng.random() < 0.5]
    muons = [lepton for lepton in leptons if lepton not in electrons]
    # A lepton's own track may be there with its momentum, with another one, or not at all.
    own = [
        (pt * rng.choice([1.0, 1.25]), eta, phi, -11 * charge, 0.0, 0.0, 0.5)
        for pt, eta, phi, charge in leptons
        if rng.random() < 0.8
    ]
    centre = leptons[0][1:3] if leptons and rng.random() < 0.7 else (0.0, math.pi)
    return Event(
        tracks=[
            *own,
            *((*_particle(rng, centre), rng.choice([-211, 211, 0]), *rng.normal(size=3)) for _ in _count(rng, size)),
        ],
        photons=[_particle(rng, centre) for _ in _count(rng, size // 2)],
        neutrals=[_particle(rng, centre) for _ in _count(rng, size // 2)],
        electrons=electrons,
        muons=muons,
        jets=[
            (rng.choice([29.9, 30.0, 30.1, 80.0]), rng.choice([-2.6, 0.3, 2.59, 2.6, 2.7]), rng.choice(3))
            for _ in range(rng.integers(5))
        ],
        met=(rng.exponential(40.0), rng.uniform(-math.pi, math.pi)),
    )


def _count(rng: np.random.Generator, size: int) -> range:
    return range(0 if rng.random() < 0.05 else rng.integers(1, size + 1))


def _lepton(rng: np.random.Generator) -> tuple[float, ...]:
    phi = rng.choice([rng.uniform(-math.pi, math.pi), 3.1, -3.1, math.pi, -math.pi])
    return rng.choice([22.9, 23.0, 23.1, 40.0, 40.0, 60.5]), rng.choice([-1.5, 0.0, 0.7, 2.2]), phi, rng.choice([-1, 1])


def _particle(rng: np.random.Generator, centre: Sequence[float]) -> tuple[float, float, float]:
    pt = rng.choice([0.5, 0.51, 1.0, 1.01, 2.0, rng.exponential(4.0)])
    if rng.random() < 0.3:
        return pt, centre[0] + rng.normal(0, 0.2), math.remainder(centre[1] + rng.normal(0, 0.2), 2 * math.pi)
    return pt, rng.uniform(-5, 5), rng.uniform(-math.pi, math.pi)


def arrays(sample: Sequence[Event], start: int = 0) -> events.Events:
    """Events in columnar form, as the reader delivers them."""
    collections = {}
    for number, (name, names) in enumerate(FIELDS.items()):
        rows = [event.rows()[number] for event in sample]
        flat = [row for event in rows for row in event]
        columns = {
            column: np.array([row[i] for row in flat], dtype=INTEGERS.get(column, np.float32)).astype(np.float64)
            for i, column in enumerate(names)
        }
        collections[name] = events.Collection(np.cumsum([0, *map(len, rows)]), columns)
    met = collections.pop("MissingET").columns
    return events.Events(
        start=start,
        collections=collections,
        met=met["MET"],
        met_phi=met["Phi"],
        parents=None,
    )


def write_root(
    path: Path,
    sample: Sequence[Event],
    *,
    flat: bool = False,
    parents: Sequence[int] | None = None,
    replace: dict[str, Any] | None = None,
) -> Path:
    """Write events as a tree named Delphes.

    Args:
        path: The file.
        sample: What it holds.
        flat: Whether branches are named `Electron_PT`, each with a counter of its own.
        parents: Content of `Event.Parent`.
        replace: Branches, by their dotted name, whose content is another awkward array, or None to leave them out;
            only in flat files, where branches do not share a counter.
    """
    branches: dict[str, Any] = {}
    for number, (name, names) in enumerate(FIELDS.items()):
        rows = [event.rows()[number] for event in sample]
        counts = np.array([len(event) for event in rows], dtype=np.int64)
        table = [row for event in rows for row in event]
        branches |= {
            f"{name}.{column}": ak.unflatten(
                np.array([row[i] for row in table], dtype=INTEGERS.get(column, np.float32)), counts
            )
            for i, column in enumerate(names)
        }
        if flat and name in ("Electron", "MuonTight"):
            branches[f"{name}_size"] = np.array(counts, dtype=np.int32)
    if parents is not None:
        branches["Event.Parent"] = np.array(parents, dtype=np.int64)
    branches |= replace or {}
    branches = {name: content for name, content in branches.items() if content is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    with uproot.recreate(path) as file:
        if flat:
            content = {name.replace(".", "_"): values for name, values in branches.items()}
            counter = "n{}".format
            tree = file.mktree(
                "Delphes", {name: _type(values) for name, values in content.items()}, counter_name=counter
            )
        else:
            content = {name: ak.zip({c: branches[f"{name}.{c}"] for c in names}) for name, names in FIELDS.items()}
            if parents is not None:
                content["Event.Parent"] = branches["Event.Parent"]
            tree = file.mktree(
                "Delphes",
                {name: _type(values) for name, values in content.items()},
                counter_name="{}_size".format,
                field_name="{}.{}".format,
            )
        if len(sample):
            tree.extend(content)
    return path


def _type(values: Any) -> Any:
    return values.dtype if isinstance(values, np.ndarray) else ak.type(values).content


def rows_of(chunk: events.Events) -> list[Event]:
    """Columnar events one by one, as the reference takes them."""
    result = []
    for number in range(len(chunk)):
        groups = []
        for name, names in list(FIELDS.items())[:-1]:
            collection = chunk.collections[name]
            inside = slice(collection.offsets[number], collection.offsets[number + 1])
            groups.append(list(zip(*(collection.columns[column][inside].tolist() for column in names), strict=True)))
        result.append(Event(*groups, met=(float(chunk.met[number]), float(chunk.met_phi[number]))))
    return result
