"""How well a classifier separates the classes: ROC curves, efficiencies, confusion, with their statistical errors.

Pure functions of labels and class probabilities; docs/report.md explains each figure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hepspark.errors import InputError
from hepspark.schema import CLASSES

Labels = npt.NDArray[np.integer[Any]]
Scores = npt.NDArray[np.floating[Any]]

SCORE_BINS: Final = 50
"""Bins of a score distribution, of equal width from 0 to 1."""

MANY_POINTS: Final = 500
"""ROC curves with more points than this are thinned to about as many."""


@dataclass(frozen=True)
class Estimate:
    """A measured number with its 68.3% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Roc:
    """Separation of one class from one or several others."""

    signal: str
    backgrounds: tuple[str, ...]
    signal_events: int
    background_events: int
    auc: float
    auc_error: float | None
    """One standard deviation; None where a side has a single event."""
    background_efficiency: tuple[float, ...]
    """Increasing; thinned where the curve has more than `MANY_POINTS` points."""
    signal_efficiency: tuple[float, ...]


@dataclass(frozen=True)
class Curve:
    """A ROC curve with every point of it."""

    roc: Roc
    background_efficiency: npt.NDArray[np.float64]
    signal_efficiency: npt.NDArray[np.float64]


@dataclass(frozen=True)
class WorkingPoint:
    """Signal efficiency at a fixed background efficiency."""

    signal: str
    backgrounds: tuple[str, ...]
    background_efficiency: float
    signal_efficiency: Estimate | None
    """None where there are too few background events to measure at this background efficiency."""


@dataclass(frozen=True)
class Metrics:
    """Everything that follows from the labels and scores of one set of events."""

    events: tuple[int, ...]
    """Events of each class, in the order of `schema.CLASSES`; so are all that follow."""
    accuracy: Estimate
    balanced_accuracy: float
    """Mean over the classes of the share that is recognised: the accuracy on equally many events of each."""
    confusion: tuple[tuple[int, ...], ...]
    """Events by true class (row) and likeliest class (column)."""
    one_vs_rest: tuple[Roc, ...]
    signal_rocs: tuple[Roc, ...]
    """The signal class against each other class, and last against all of them."""
    working_points: tuple[WorkingPoint, ...]
    score_counts: tuple[tuple[tuple[int, ...], ...], ...]
    """Events by score (of which class), true class, and bin."""


def compute(labels: Labels, scores: Scores, signal: str, background_efficiencies: Sequence[float]) -> Metrics:
    """All metrics of a set of scored events.

    Args:
        labels: Class of each event, shape (n,).
        scores: Class probabilities, shape (n, classes).
        signal: The class whose efficiency is quoted.
        background_efficiencies: At which ones.

    Raises:
        InputError: a class has no event.
    """
    check(labels)
    truth = labels.astype(np.int64)
    likeliest = scores.argmax(axis=1)
    confusion = np.bincount(truth * len(CLASSES) + likeliest, minlength=len(CLASSES) ** 2).reshape(len(CLASSES), -1)
    others = tuple(name for name in CLASSES if name != signal)
    pairs = [(signal, (name,)) for name in others] + [(signal, others)]
    rest = [(name, tuple(other for other in CLASSES if other != name)) for name in CLASSES]
    curves = {pair: _curve(truth, scores, *pair) for pair in dict.fromkeys(pairs + rest)}
    return Metrics(
        events=tuple(int(n) for n in confusion.sum(axis=1)),
        accuracy=binomial(int(np.trace(confusion)), len(truth)),
        balanced_accuracy=float(np.mean(np.diag(confusion) / confusion.sum(axis=1))),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        one_vs_rest=tuple(curves[pair].roc for pair in rest),
        signal_rocs=tuple(curves[pair].roc for pair in pairs),
        working_points=tuple(
            working_point(curves[pair], efficiency) for efficiency in background_efficiencies for pair in pairs
        ),
        score_counts=_score_counts(truth, scores),
    )


def check(labels: Labels) -> None:
    """Refuse events on which the metrics are not defined.

    Raises:
        InputError: a class has no event.
    """
    missing = [name for label, name in enumerate(CLASSES) if not np.any(labels == label)]
    if missing:
        raise InputError(
            f"the test side has no event of class {', '.join(missing)}: ROC curves need events of every class; "
            "ingest more such events, or name data sets with such events in evaluate.input"
        )


def log_odds(scores: Scores, signal: int, backgrounds: Sequence[int]) -> npt.NDArray[np.float64]:
    """The discriminant of a class against others: log of p(signal) over the sum of p(background).

    It orders events as p(signal) does where all other classes are background, and by the likelihood ratio
    where only some are; as a logarithm it still tells events apart whose p(signal) rounds to 1.

    Args:
        scores: Class probabilities, shape (n, classes).
        signal: Position of the signal class.
        backgrounds: Positions of the background classes.

    Returns:
        Shape (n,).
    """
    tiny = np.finfo(np.float64).tiny
    against = scores[:, list(backgrounds)].astype(np.float64).sum(axis=1)
    wanted = scores[:, signal].astype(np.float64)
    odds: npt.NDArray[np.float64] = np.log(np.maximum(wanted, tiny)) - np.log(np.maximum(against, tiny))
    return odds


def roc(is_signal: npt.NDArray[np.bool_], discriminant: Scores, signal: str, backgrounds: tuple[str, ...]) -> Curve:
    """The full ROC curve; events with equal discriminants pass a cut together.

    Args:
        is_signal: Whether each event is signal, shape (n,).
        discriminant: Larger is more like signal, shape (n,).
        signal: Name of the signal class.
        backgrounds: Names of the background classes.
    """
    background_efficiency, signal_efficiency = _efficiencies(is_signal, discriminant)
    shown = _shown(background_efficiency, signal_efficiency)
    summary = Roc(
        signal=signal,
        backgrounds=backgrounds,
        signal_events=int(np.count_nonzero(is_signal)),
        background_events=int(np.count_nonzero(~is_signal)),
        auc=float(np.trapz(signal_efficiency, background_efficiency)),
        auc_error=auc_error(discriminant[is_signal], discriminant[~is_signal]),
        background_efficiency=tuple(background_efficiency[shown].tolist()),
        signal_efficiency=tuple(signal_efficiency[shown].tolist()),
    )
    return Curve(summary, background_efficiency, signal_efficiency)


def _efficiencies(is_signal: npt.NDArray[np.bool_], discriminant: Scores) -> tuple[Scores, Scores]:
    """Share of the background and of the signal above each value that the discriminant takes, from none to all."""
    falling = np.argsort(-discriminant, kind="stable")
    values, signal = discriminant[falling], is_signal[falling]
    last_of_equals = np.append(np.flatnonzero(values[1:] != values[:-1]), len(values) - 1)
    found, passed = np.cumsum(signal)[last_of_equals], np.cumsum(~signal)[last_of_equals]
    return np.append(0.0, passed / passed[-1]), np.append(0.0, found / found[-1])


def auc_error(signal: Scores, background: Scores) -> float | None:
    """Standard deviation of the AUC by DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988).

    Uses the mid-rank form of Sun and Xu (IEEE Signal Processing Letters 21, 2014), which takes n log n.

    Args:
        signal: Discriminant of the signal events.
        background: Discriminant of the background events.

    Returns:
        The standard deviation, or None where a side has fewer than two events.
    """
    m, n = len(signal), len(background)
    if min(m, n) < 2:
        return None
    ranks = midranks(np.concatenate([signal, background]))
    above = (ranks[:m] - midranks(signal)) / n
    below = 1 - (ranks[m:] - midranks(background)) / m
    return float(np.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n))


def midranks(values: Scores) -> npt.NDArray[np.float64]:
    """Rank of each value from 1 on; equal values share the mean of their ranks."""
    _, position, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: npt.NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[position]
    return ranks


def binomial(passed: int, events: int) -> Estimate:
    """Share of events that pass, with its 68.3% interval by Wilson, which stays within 0 and 1."""
    share = passed / events
    scale = 1 + 1 / events
    centre = (share + 1 / (2 * events)) / scale
    half = math.sqrt(share * (1 - share) / events + 1 / (4 * events**2)) / scale
    return Estimate(share, min(max(0.0, centre - half), share), max(min(1.0, centre + half), share))


def working_point(curve: Curve, background_efficiency: float) -> WorkingPoint:
    """Signal efficiency of the loosest cut whose background efficiency is at most the one given.

    The interval holds, in quadrature, the binomial error of the signal sample and what the binomial error of
    the background sample does to the place of the cut.

    Args:
        curve: The full curve.
        background_efficiency: Between 0 and 1.
    """
    signal, backgrounds, events = curve.roc.signal, curve.roc.backgrounds, curve.roc.background_events
    if background_efficiency * events < 1:
        return WorkingPoint(signal, backgrounds, background_efficiency, None)
    value = _read(curve, background_efficiency)
    spread = math.sqrt(background_efficiency * (1 - background_efficiency) / events)
    counted = binomial(round(value * curve.roc.signal_events), curve.roc.signal_events)
    low = value - math.hypot(value - counted.low, value - _read(curve, max(background_efficiency - spread, 0.0)))
    high = value + math.hypot(counted.high - value, _read(curve, min(background_efficiency + spread, 1.0)) - value)
    estimate = Estimate(value, max(low, 0.0), min(high, 1.0))
    return WorkingPoint(signal, backgrounds, background_efficiency, estimate)


def _read(curve: Curve, background_efficiency: float) -> float:
    last = int(np.searchsorted(curve.background_efficiency, background_efficiency, side="right")) - 1
    return float(curve.signal_efficiency[last])


def _curve(truth: Labels, scores: Scores, signal: str, backgrounds: tuple[str, ...]) -> Curve:
    label, against = CLASSES.index(signal), [CLASSES.index(name) for name in backgrounds]
    used = np.isin(truth, [label, *against])
    return roc(truth[used] == label, log_odds(scores[used], label, against), signal, backgrounds)


def _shown(background_efficiency: Scores, signal_efficiency: Scores) -> npt.NDArray[np.int64]:
    """Points that draw the curve on a linear and on a logarithmic axis alike: the ends, and steps of both axes."""
    if len(background_efficiency) <= MANY_POINTS:
        return np.arange(len(background_efficiency))
    smallest = background_efficiency[background_efficiency > 0].min()
    wanted = np.concatenate([np.linspace(0, 1, 161), np.geomspace(smallest, 1, 161)])
    across = np.searchsorted(background_efficiency, wanted, side="right") - 1
    up = np.searchsorted(signal_efficiency, np.linspace(0, 1, 161), side="left")
    shown: npt.NDArray[np.int64] = np.unique(np.concatenate([[0, len(signal_efficiency) - 1], across, up]))
    return shown


def _score_counts(truth: Labels, scores: Scores) -> tuple[tuple[tuple[int, ...], ...], ...]:
    edges = np.linspace(0, 1, SCORE_BINS + 1)
    return tuple(
        tuple(
            # A float32 probability may come out a rounding above 1.
            tuple(np.histogram(np.clip(scores[truth == label, output], 0, 1), edges)[0].tolist())
            for label in range(len(CLASSES))
        )
        for output in range(len(CLASSES))
    )
