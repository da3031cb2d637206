"""How pictures look: colours that colour-blind readers can tell apart, one per class everywhere, and fonts."""

import base64
import io
import re
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepspark.schema import CLASS_TITLES, CLASSES

COLOURS: Final = dict(zip(CLASSES, ("#0072b2", "#d55e00", "#009e73"), strict=True))
"""Colour of each class, from the palette of Okabe and Ito (2008)."""

LINES: Final = dict(zip(CLASSES, ("--", "-", "-."), strict=True))
"""Line style of each class, so that a print in black and white can be read."""

INK: Final = "#1c2733"
GREY: Final = "#6b7785"

# Any: matplotlib's own type lists every key it knows.
_RC: Final[Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "mathtext.fontset": "dejavusans",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 10.5,
    "grid.color": "#e3e7ec",
    "grid.linewidth": 0.7,
    "legend.frameon": True,
    "legend.framealpha": 0.9,
    "legend.edgecolor": "none",
    "legend.fontsize": 9.5,
    "lines.linewidth": 1.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "ytick.minor.visible": True,
    # Letters as outlines: the page looks the same whatever fonts its reader has.
    "svg.fonttype": "path",
    # Fixed identifiers: the same evaluation gives the same page.
    "svg.hashsalt": "hepspark",
}


def styled() -> Any:
    """The context in which figures are made and saved."""
    return mpl.rc_context(_RC)


def title(name: str) -> str:
    """A class as plots name it."""
    plain = CLASS_TITLES[CLASSES.index(name)]
    # Fonts place the combining bar badly; mathtext draws it.
    return re.sub("(.)\u0304", r"$\\bar{\\mathrm{\1}}$", plain)


def panel(width: float = 6.0, height: float = 4.5) -> tuple[Figure, Axes]:
    """A figure with one pair of axes, in a layout that fits.

    Args:
        width: In inches.
        height: In inches.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def small_panel(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure for a row of several: fixed margins, so that axes beside each other are in line."""
    figure = Figure(figsize=(width, height))
    left, right, bottom, top = 0.66, 0.2, 0.48, 0.26
    figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height)
    return figure, figure.add_subplot()


def data_uri(figure: Figure) -> str:
    """A figure as SVG inside a data: URI, which needs no file beside the page."""
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
