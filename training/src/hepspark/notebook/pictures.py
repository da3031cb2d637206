"""Pictures for a notebook, in the style of the report and made of its parts."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.image import imread, imsave

from hepspark.errors import InputError
from hepspark.metrics import Metrics
from hepspark.model.artefact import Model
from hepspark.report import figures
from hepspark.report.axes import Axis, fill, for_features
from hepspark.report.content import FeatureHistogram
from hepspark.report.style import COLOURS, INK, LINES, panel, small_panel, styled, title
from hepspark.schema import CLASSES, HLF, NO_LABEL

_WIDTH: Final = 100
"""Pixels of the page for an inch of a figure."""

_SHARPNESS: Final = 2
"""Pixels of the picture for one of the page: screens differ."""

_OTHERS: Final = ("#56b4e9", "#cc79a7", "#e69f00", INK)
"""Colours of what is no class."""


class Events(Protocol):
    """A table of events by column, such as a DataFrame of pandas or a table of pyarrow."""

    def __getitem__(self, name: str, /) -> Any:
        """The values of a column."""


@dataclass(frozen=True)
class Picture:
    """One or several figures, row by row; a notebook shows it where it is the last line of a cell."""

    description: str
    """For readers who do not see it."""
    figures: tuple[Figure, ...]
    """All of the same size; each may be changed, and saved by its `savefig`."""
    columns: int = 1

    def png(self) -> bytes:
        """The picture as a PNG file."""
        with styled():
            drawn = [_pixels(figure) for figure in self.figures]
        blank = np.ones_like(drawn[0])
        drawn += [blank] * (-len(drawn) % self.columns)
        rows = [np.hstack(drawn[start : start + self.columns]) for start in range(0, len(drawn), self.columns)]
        stream = io.BytesIO()
        imsave(stream, np.vstack(rows), format="png")
        return stream.getvalue()

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        """What Jupyter asks for."""
        width = round(self.figures[0].get_figwidth() * _WIDTH) * min(self.columns, len(self.figures))
        content = {"image/png": base64.b64encode(self.png()).decode("ascii"), "text/plain": self.description}
        return content, {"image/png": {"width": width}}


def features(events: Events) -> Picture:
    """The 14 features, each class normalised to 1; what lies outside of an axis is in its outermost bin.

    Args:
        events: Columns `label` and those of `schema.HLF`; unlabelled events are left out.

    Raises:
        InputError: there are no labelled events.
    """
    values, labels = _columns(events)
    labelled = labels != NO_LABEL
    if not labelled.any():
        raise InputError("none of these events has a label: there are no classes to compare")
    values, labels = values[labelled], labels[labelled]
    axes = for_features(values.mean(axis=0).tolist(), values.std(axis=0).tolist())
    counts = fill(axes, values, labels)
    with styled():
        drawn = [figures.feature(_histogram(*pair)) for pair in zip(axes, counts, strict=True)]
        return Picture("Distribution of each feature in each class", (*drawn, _legend(drawn[0])), columns=3)


def correlations(events: Events, class_name: str) -> Picture:
    """Linear correlation coefficients of the features in one class.

    Args:
        events: Columns `label` and those of `schema.HLF`.
        class_name: One of `schema.CLASSES`.

    Raises:
        InputError: there is no such class, or it has fewer than two events.
    """
    if class_name not in CLASSES:
        raise InputError(f"there is no class {class_name!r}: the classes are {', '.join(CLASSES)}")
    values, labels = _columns(events)
    values = values[labels == CLASSES.index(class_name)]
    if len(values) < 2:
        raise InputError(f"class {class_name}: {len(values)} events, and a correlation takes at least two")
    with styled():
        return Picture(f"Correlations of the features in {class_name}", (_matrix(_correlation(values), class_name),))


def training(model: Model) -> Picture:
    """Loss and accuracy after each epoch; the dotted line is the epoch whose weights the model has."""
    with styled():
        made = figures.training(model.history, model.summary.get("best_epoch"))[:2]
    return Picture("; ".join(text for text, _ in made), tuple(figure for _, figure in made), columns=2)


def roc(metrics: Metrics) -> Picture:
    """ROC curves, each class against the two others; the inset magnifies the corner."""
    with styled():
        return Picture("ROC curves of each class against the others", (figures.roc_plain(metrics),))


def rejection(metrics: Metrics) -> Picture:
    """How much background is left at an efficiency of the signal, on a logarithmic axis."""
    with styled():
        return Picture("Background efficiency against signal efficiency", (figures.roc_field(metrics),))


def confusion(metrics: Metrics) -> Picture:
    """Which share of each true class is taken for which class; rows add up to 100%."""
    with styled():
        return Picture("Confusion matrix, normalised by true class", (figures.confusion(metrics),))


def speeds(models: Mapping[str, Model]) -> Picture:
    """Events trained in a second, by epoch.

    Args:
        models: Name in the legend to model.
    """
    with styled():
        figure, axes = panel()
        for (name, model), colour in zip(models.items(), cycle(_OTHERS)):
            epochs = [(row["epoch"], row["events_per_second"] / 1000) for row in model.history]
            axes.plot(*zip(*epochs, strict=True), marker="o", markersize=4, color=colour, label=name)
        axes.set_ylabel("Training speed [1,000 events/s]")
        figures.epoch_axis(axes)
        axes.set_ylim(bottom=0)
        axes.legend(loc="lower right")
    return Picture("Training speed by epoch", (figure,))


def _pixels(figure: Figure) -> npt.NDArray[np.float32]:
    """Shape (height, width, 4), from 0 to 1."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_WIDTH * _SHARPNESS)
    stream.seek(0)
    return np.asarray(imread(stream, format="png"), dtype=np.float32)


def _columns(events: Events) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]:
    return (
        np.stack([np.asarray(events[name], dtype=np.float32) for name in HLF], axis=1),
        np.asarray(events["label"], dtype=np.int8),
    )


def _histogram(axis: Axis, counts: npt.NDArray[np.int64]) -> FeatureHistogram:
    return FeatureHistogram(axis, tuple(map(tuple, counts.tolist())))


def _legend(beside: Figure) -> Figure:
    """The classes, in a panel as large as another figure."""
    figure, axes = small_panel(beside.get_figwidth(), beside.get_figheight())
    axes.set_axis_off()
    for name in CLASSES:
        axes.plot([], [], color=COLOURS[name], linestyle=LINES[name], label=title(name))
    axes.legend(loc="center", fontsize=13, handlelength=3)
    return figure


def _correlation(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Shape (features, features), in percent; not a number where a feature is the same in all events."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return 100 * np.corrcoef(values, rowvar=False, dtype=np.float64)


def _matrix(percent: npt.NDArray[np.float64], class_name: str) -> Figure:
    figure, axes = panel(8.4, 7.2)
    image = axes.imshow(percent, cmap="RdBu_r", vmin=-100, vmax=100)
    for (row, column), value in np.ndenumerate(percent):
        if np.isfinite(value):
            colour = "white" if abs(value) > 60 else "black"
            axes.text(column, row, f"{round(value)}", ha="center", va="center", fontsize=8.5, color=colour)
    axes.set_xticks(range(len(HLF)), HLF, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(HLF)), HLF)
    axes.set_title(title(class_name))
    axes.grid(visible=False)
    axes.minorticks_off()
    axes.tick_params(length=0)
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.set_label("Linear correlation [%]")
    bar.ax.minorticks_off()
    return figure
