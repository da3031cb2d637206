"""The pictures of a report, each made from an evaluation's content."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter

from hepspark.metrics import SCORE_BINS, Metrics, Roc
from hepspark.report.content import FeatureHistogram
from hepspark.report.style import COLOURS, GREY, INK, LINES, panel, small_panel, title
from hepspark.schema import CLASSES

FEW_EVENTS = 10
"""A ROC curve is drawn dotted where fewer background events than this pass the cut."""

_TRAINING = {"training": ("-", "#56b4e9"), "validation": ("--", "#cc79a7"), "learning rate": ("-", INK)}
"""Line style and colour of the training curves, apart from those of the classes."""


def roc_field(metrics: Metrics) -> Figure:
    """Background efficiency on a logarithmic axis against signal efficiency, for the signal class."""
    figure, axes = panel()
    floor = min(1 / roc.background_events for roc in metrics.signal_rocs)
    for roc in metrics.signal_rocs:
        alone = len(roc.backgrounds) == 1
        colour, line = (COLOURS[roc.backgrounds[0]], LINES[roc.backgrounds[0]]) if alone else (INK, "-")
        _log_curve(axes, roc, colour, line, f"against {against(roc)}")
    for efficiency in sorted({point.background_efficiency for point in metrics.working_points}):
        if efficiency > floor:
            axes.axhline(efficiency, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    axes.set(
        xlim=(0, 1),
        ylim=(max(floor, 1e-5) * 0.7, 1.4),
        yscale="log",
        xlabel=f"Signal efficiency, {title(metrics.signal_rocs[0].signal)}",
        ylabel="Background efficiency",
    )
    axes.legend(loc="upper left")
    return figure


def roc_plain(metrics: Metrics) -> Figure:
    """True against false positive rate of each class against the two others."""
    figure, axes = panel()
    # Good classifiers crowd the corner: the inset magnifies it.
    inset = axes.inset_axes((0.36, 0.36, 0.58, 0.5), xlim=(0, 0.2), ylim=(0.8, 1))
    inset.tick_params(labelsize=8.5)
    inset.set_xticks(np.linspace(0, 0.2, 5))
    inset.set_yticks(np.linspace(0.85, 1, 4))  # that of the corner would touch its neighbour on the other axis
    for roc in metrics.one_vs_rest:
        error = "" if roc.auc_error is None else f" ± {roc.auc_error:.4f}"
        label = f"{title(roc.signal)}: AUC {roc.auc:.4f}{error}"
        for part in (axes, inset):
            part.plot(
                roc.background_efficiency,
                roc.signal_efficiency,
                color=COLOURS[roc.signal],
                linestyle=LINES[roc.signal],
                label=label,
            )
    axes.add_patch(Rectangle((0, 0.8), 0.2, 0.2, fill=False, edgecolor=GREY, linewidth=0.8))
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=":", label="random choice")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="False positive rate (other classes)", ylabel="True positive rate")
    axes.legend(loc="lower right", fontsize=9)
    return figure


def confusion(metrics: Metrics) -> Figure:
    """Share of each true class (row) that is called each class (column), with the number of events."""
    figure, axes = panel(6.0, 4.5)
    counts = np.array(metrics.confusion)
    shares = counts / counts.sum(axis=1, keepdims=True)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        error = np.sqrt(share * (1 - share) / counts[row].sum())
        colour = "white" if share > 0.55 else INK
        axes.text(
            column,
            row - 0.07,
            f"{share:.1%} ± {error:.1%}" if error else f"{share:.0%}",
            ha="center",
            va="center",
            color=colour,
            fontsize=11,
            fontweight="bold" if row == column else "normal",
        )
        axes.text(column, row + 0.2, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=9)
    names = [title(name) for name in CLASSES]
    axes.set_xticks(range(len(CLASSES)), names)
    axes.set_yticks(range(len(CLASSES)), names, rotation=90, va="center")
    axes.set(xlabel="Predicted class", ylabel="True class")
    axes.grid(visible=False)
    axes.tick_params(which="both", length=0)
    axes.minorticks_off()
    bar = figure.colorbar(image, ax=axes, format=PercentFormatter(1, decimals=0), pad=0.02)
    bar.set_label("Share of the true class")
    bar.ax.minorticks_off()
    return figure


def scores(metrics: Metrics, output: int) -> Figure:
    """Distribution of one class's score in each true class, every one normalised to 1."""
    figure, axes = small_panel(4.6, 3.9)
    edges = np.linspace(0, 1, SCORE_BINS + 1)
    smallest = 1.0
    for name, counts in zip(CLASSES, metrics.score_counts[output], strict=True):
        share = np.array(counts) / sum(counts)
        smallest = min(smallest, share[share > 0].min())
        _steps(axes, share, edges, name)
    axes.set(
        xlim=(0, 1),
        ylim=(smallest * 0.5, 3.0),
        yscale="log",
        xlabel=f"Score {title(CLASSES[output])}",
        ylabel=f"Share of events / {1 / SCORE_BINS:g}",
    )
    axes.legend(loc="upper center", ncols=len(CLASSES), columnspacing=1.2, handlelength=1.6)
    return figure


def feature(histogram: FeatureHistogram) -> Figure:
    """Distribution of one feature in each class, normalised to 1, with what lies outside in the outermost bins."""
    figure, axes = small_panel(3.4, 2.6)
    axis = histogram.axis
    largest, smallest = 0.0, 1.0
    for name, counts in zip(CLASSES, histogram.counts, strict=True):
        share = folded(counts) / max(sum(counts), 1)
        largest = max(largest, share.max())
        smallest = min(smallest, share[share > 0].min(initial=1.0))
        _steps(axes, share, axis.edges, name)
    axes.set(xlim=(axis.low, axis.high), xlabel=axis.title + (f" [{axis.unit}]" if axis.unit else ""))
    axes.set_ylabel("Share of events", fontsize=9)
    axes.tick_params(labelsize=9)
    if axis.log:
        axes.set(yscale="log", ylim=(smallest * 0.5, 2.0))
    else:
        axes.set_ylim(0, largest * 1.12)
        axes.yaxis.set_major_locator(MaxNLocator(4))
    if axis.ticks:
        axes.set_xticks([place for place, _ in axis.ticks], [word for _, word in axis.ticks])
    elif axis.high - axis.low == axis.bins:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if axis.ticks or axis.high - axis.low == axis.bins:
        axes.xaxis.set_minor_locator(NullLocator())
    return figure


def folded(counts: Sequence[int]) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Events by bin, with the underflow added to the first bin and the overflow to the last."""
    inner = np.array(counts[1:-1], dtype=np.int64)
    inner[0] += counts[0]
    inner[-1] += counts[-1]
    return inner


def training(history: Sequence[Mapping[str, Any]], best_epoch: int | None) -> list[tuple[str, Figure]]:
    """What training measured after each epoch: loss, accuracy, learning rate; only what the history holds.

    Args:
        history: One entry an epoch.
        best_epoch: Where a line is drawn.

    Returns:
        A description and the picture, for each that has at least one value.
    """
    kinds = (
        ("Loss after each epoch", "Cross-entropy [nats]", {"loss": "training", "validation_loss": "validation"}),
        ("Accuracy after each epoch", "Accuracy", {"accuracy": "training", "validation_accuracy": "validation"}),
        ("Learning rate at each epoch", "Learning rate", {"learning_rate": "learning rate"}),
    )
    made = []
    for description, quantity, lines in kinds:
        points = {
            label: [(row["epoch"], row[key]) for row in history if _number(row.get(key))]
            for key, label in lines.items()
        }
        if any(points.values()):
            made.append((description, _by_epoch(quantity, points, best_epoch)))
    return made


def against(roc: Roc) -> str:
    """The backgrounds of a curve in words for plots."""
    return title(roc.backgrounds[0]) if len(roc.backgrounds) == 1 else "all others"


def _log_curve(axes: Axes, roc: Roc, colour: str, line: str, label: str) -> None:
    background, signal = np.array(roc.background_efficiency), np.array(roc.signal_efficiency)
    # The point where nothing passes has no place on a logarithmic axis.
    background, signal = background[background > 0], signal[background > 0]
    few = background * roc.background_events < FEW_EVENTS
    axes.plot(np.where(few, np.nan, signal), background, color=colour, linestyle=line, label=label)
    # One point further, so that the two parts of the curve meet.
    sparse = np.flatnonzero(few)
    end = sparse[-1] + 2 if len(sparse) else 0
    axes.plot(signal[:end], background[:end], color=colour, linestyle=":", linewidth=1.2)


def _steps(axes: Axes, share: Any, edges: Any, name: str) -> None:
    axes.stairs(share, edges, color=COLOURS[name], linestyle=LINES[name], linewidth=1.6, label=title(name))
    axes.stairs(share, edges, color=COLOURS[name], fill=True, alpha=0.07)


def epoch_axis(axes: Axes) -> None:
    """Make the horizontal axis one of epochs, with round numbers at its ticks."""
    axes.set_xlabel("Epoch")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.xaxis.set_minor_locator(NullLocator())


def _by_epoch(quantity: str, lines: Mapping[str, list[tuple[int, float]]], best_epoch: int | None) -> Figure:
    figure, axes = small_panel(4.6, 3.6)
    for label, points in lines.items():
        if points:
            line, colour = _TRAINING[label]
            epochs, values = zip(*points, strict=True)
            marker = "o" if len(points) < 30 else ""
            axes.plot(epochs, values, marker=marker, markersize=4, linestyle=line, color=colour, label=label)
    first, last = axes.get_xlim()
    # A single epoch would leave an axis of no length.
    axes.set_xlim(min(first, last - 1), max(last, first + 1))
    if best_epoch is not None:
        axes.axvline(best_epoch, color=GREY, linestyle=":", linewidth=1.2)
    axes.set_ylabel(quantity)
    epoch_axis(axes)
    if len(lines) > 1:
        axes.legend()
    else:
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2), useMathText=True)
        axes.set_ylim(bottom=0)
    return figure


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))
