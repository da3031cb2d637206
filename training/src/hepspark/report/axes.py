"""Axes of the feature distributions, and the histograms over them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi
from typing import Final

import numpy as np
import numpy.typing as npt

from hepspark.schema import CLASSES, HLF

Counts = tuple[tuple[int, ...], ...]
"""Events by class (row) and bin: first those below the axis, then its bins, last those above it."""


@dataclass(frozen=True)
class Axis:
    """A binned axis of equal bins."""

    feature: str
    title: str
    """In matplotlib's mathtext."""
    unit: str
    low: float
    high: float
    bins: int
    log: bool = False
    """Whether the number of events is shown on a logarithmic scale."""
    ticks: tuple[tuple[float, str], ...] = ()
    """Positions and words of the ticks of an axis that counts kinds."""

    @property
    def edges(self) -> npt.NDArray[np.float64]:
        """Shape (bins + 1,)."""
        return np.linspace(self.low, self.high, self.bins + 1)


PHYSICAL: Final = (
    Axis("HT", r"$H_\mathrm{T}$", "GeV", 0, 1000, 40),
    Axis("MET", r"$E_\mathrm{T}^\mathrm{miss}$", "GeV", 0, 240, 40),
    Axis("MET_phi", r"$\phi(E_\mathrm{T}^\mathrm{miss})$", "rad", -pi, pi, 32),
    Axis("MT", r"$m_\mathrm{T}$", "GeV", 0, 200, 40),
    Axis("nJets", "Jets", "", -0.5, 12.5, 13),
    Axis("nBjets", "b-tagged jets", "", -0.5, 5.5, 6),
    Axis("LepPt", r"Lepton $p_\mathrm{T}$", "GeV", 20, 180, 40),
    Axis("LepEta", r"Lepton $\eta$", "", -2.6, 2.6, 26),
    Axis("LepPhi", r"Lepton $\phi$", "rad", -pi, pi, 32),
    Axis("LepIsoCh", "Isolation, charged", "", 0, 0.45, 30, log=True),
    Axis("LepIsoGamma", "Isolation, photons", "", 0, 0.45, 30, log=True),
    Axis("LepIsoNeu", "Isolation, neutral", "", 0, 0.45, 30, log=True),
    Axis("LepCharge", "Lepton charge", "", -2, 2, 2, ticks=((-1, "−1"), (1, "+1"))),
    Axis("LepIsEle", "Lepton flavour", "", -0.5, 1.5, 2, ticks=((0, "muon"), (1, "electron"))),
)
"""Axes for features in physical units, in the order of `schema.HLF`."""


def for_features(mean: Sequence[float], width: Sequence[float]) -> tuple[Axis, ...]:
    """Axes that suit features, in the order of `schema.HLF`.

    Published data does not tell whether it was scaled, and its MT is a square in some versions. Both are seen from
    the means over the training events: no sample has a mean HT below 10 GeV, or a mean MT above 500 GeV.

    Args:
        mean: Of each feature.
        width: Standard deviation of each feature.
    """
    if mean[HLF.index("HT")] < 10:
        return tuple(
            Axis(name, name.replace("_", " "), "as stored", centre - 3 * spread, centre + 5 * spread, 40)
            for name, centre, spread in zip(HLF, mean, width, strict=True)
        )
    squared = Axis("MT", r"$m_\mathrm{T}^2$", r"GeV$^2$", 0, 40_000, 40)
    return tuple(squared if axis.feature == "MT" and mean[HLF.index("MT")] > 500 else axis for axis in PHYSICAL)


def fill(
    axes: Sequence[Axis], features: npt.NDArray[np.float32], labels: npt.NDArray[np.int8]
) -> list[npt.NDArray[np.int64]]:
    """Histogram every feature for every class.

    Args:
        axes: One for each column of the features.
        features: Shape (n, len(axes)).
        labels: Class of each event, shape (n,).

    Returns:
        For each axis, events by class and bin with the underflow first and the overflow last,
        shape (classes, bins + 2). Those of several sets of events add up.
    """
    filled = []
    for column, axis in enumerate(axes):
        # The underflow is bin 0, the overflow bin `bins + 1`; a value on the upper edge is in the overflow.
        place = np.searchsorted(axis.edges, features[:, column], side="right")
        flat = np.bincount(labels.astype(np.int64) * (axis.bins + 2) + place, minlength=len(CLASSES) * (axis.bins + 2))
        filled.append(flat.reshape(len(CLASSES), axis.bins + 2))
    return filled
