"""What is said under the pictures: what one sees, in the figures of this evaluation."""

import numpy as np

from hepspark.metrics import SCORE_BINS, Estimate, Metrics, binomial
from hepspark.report.content import Content, FeatureHistogram
from hepspark.report.figures import FEW_EVENTS
from hepspark.schema import CLASS_TITLES, CLASSES
from hepspark.wording import counted


def roc_field(metrics: Metrics) -> str:
    """Under the logarithmic ROC curves."""
    single = [roc for roc in metrics.signal_rocs if len(roc.backgrounds) == 1]
    hardest = min(single, key=lambda roc: roc.auc)
    return (
        f"The background efficiency at each {_title(hardest.signal)} efficiency: lower and further right is "
        f"better. {_title(hardest.backgrounds[0])} is the harder background. The dotted grey lines are the working "
        f"points of the table; a curve is dotted where fewer than {FEW_EVENTS} background events pass."
    )


def roc_plain(metrics: Metrics) -> str:
    """Under the plain ROC curves."""
    best, worst = (pick(metrics.one_vs_rest, key=lambda roc: roc.auc) for pick in (max, min))
    return (
        f"Each class against the two others together, cut on its own score. The network separates "
        f"{_title(best.signal)} best (AUC {best.auc:.3f}), and {_title(worst.signal)} least well ({worst.auc:.3f})."
    )


def confusion(metrics: Metrics) -> str:
    """Under the confusion matrix."""
    counts = np.array(metrics.confusion)
    shares = counts / counts.sum(axis=1, keepdims=True)
    off = shares * (1 - np.eye(len(CLASSES)))
    row, column = np.unravel_index(off.argmax(), off.shape)
    if off[row, column] == 0:
        confused = "No event is assigned to a wrong class."
    else:
        confused = (
            f"Most frequent confusion: {off[row, column]:.1%} of {CLASS_TITLES[row]} are assigned to "
            f"{CLASS_TITLES[column]}."
        )
    return f"Rows add up to 100%; an event belongs to the class with the highest score. {confused}"


def purities(metrics: Metrics) -> list[tuple[Estimate, Estimate | None]]:
    """For each class, the share of its events that are recognised, and of those called it that are it.

    The second is None where no event is called it.
    """
    counts = np.array(metrics.confusion)
    truth, called = counts.sum(axis=1), counts.sum(axis=0)
    return [
        (binomial(int(right), int(n)), binomial(int(right), int(m)) if m else None)
        for right, n, m in zip(np.diag(counts), truth, called, strict=True)
    ]


def score(metrics: Metrics, output: int) -> str:
    """Under the distributions of one class's score."""
    counts = np.array(metrics.score_counts[output])
    high = counts[:, SCORE_BINS * 4 // 5 :].sum(axis=1)
    others = np.arange(len(CLASSES)) != output
    own, other = high[output] / counts[output].sum(), high[others].sum() / counts[others].sum()
    return f"{own:.1%} of {CLASS_TITLES[output]} score above 0.8, and {other:.1%} of the others."


def outside(histogram: FeatureHistogram) -> str:
    """Under a feature's distribution: how much lies beyond its axis."""
    share = max((counts[0] + counts[-1]) / max(sum(counts), 1) for counts in histogram.counts)
    if share < 0.0005:
        return histogram.axis.feature
    return f"{histogram.axis.feature} (beyond the axis: ≤ {share:.1%})"


def notes(content: Content) -> dict[str, str]:
    """One paragraph for each section that has several pictures."""
    return {"scores": _scores(content.metrics), "features": _features(content), "training": _training(content)}


def _scores(metrics: Metrics) -> str:
    events = min(metrics.events)
    few = f" The rarest class has only {events} events: single events are visible as steps." if events < 1000 else ""
    return (
        "The network's output for one class, separately for the true classes, each normalised to 1. Events "
        f"of the class itself are near 1, other events near 0.{few}"
    )


def _features(content: Content) -> str:
    spread = [(_distance(histogram), histogram.axis.feature) for histogram in content.features]
    names = [name for _, name in sorted(spread, reverse=True)[:3]]
    return (
        "The inputs of the network in the test events, each class normalised to 1; events beyond an axis are in its "
        f"outermost bin. {', '.join(names[:-1])} and {names[-1]} differ most between the classes."
    )


def _distance(histogram: FeatureHistogram) -> float:
    """Largest total-variation distance between two classes' distributions, from 0 (equal) to 1 (disjoint)."""
    shares = [np.array(counts) / max(sum(counts), 1) for counts in histogram.counts]
    return float(max(np.abs(a - b).sum() / 2 for a in shares for b in shares))


def _training(content: Content) -> str:
    if not content.history:
        return "The model has no record of its training."
    text = f"{counted(len(content.history), 'epoch')}. "
    if content.best_epoch is not None:
        text += (
            f"The model has the weights of epoch {content.best_epoch} (dotted line), the best on validation events. "
        )
    return (
        f"{text}Validation events are a part of the training side. The training uses neither them nor test events. "
        "The curve of training events is measured after each epoch, too, on as many files as there are of "
        "validation events."
    )


def _title(name: str) -> str:
    return CLASS_TITLES[CLASSES.index(name)]
