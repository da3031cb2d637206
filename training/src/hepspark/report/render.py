"""An evaluation as one HTML page that needs nothing beside itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import BaseLoader, Environment, StrictUndefined
from matplotlib.figure import Figure

from hepspark.metrics import Estimate, Metrics, Roc, WorkingPoint
from hepspark.report import captions, figures
from hepspark.report.content import Content
from hepspark.report.style import COLOURS, data_uri, styled
from hepspark.schema import CLASS_TITLES, CLASSES


@dataclass(frozen=True)
class Picture:
    """One figure of the page."""

    source: str
    """A data: URI."""
    description: str
    """For readers who do not see it."""
    caption: str


def render(content: Content) -> str:
    """The report page.

    Args:
        content: What it tells; all text in it is escaped.
    """
    template = files("hepspark.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = Environment(loader=BaseLoader(), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {
        "number": _number,
        "percent": _percent,
        "interval": interval,
        "errors": errors,
        "auc": auc,
        "title": _title,
    }
    with styled():
        pictures = _pictures(content)
    return environment.from_string(template).render(
        content=content,
        metrics=content.metrics,
        classes=[{"name": n, "title": t, "colour": COLOURS[n]} for n, t in zip(CLASSES, CLASS_TITLES, strict=True)],
        pictures=pictures,
        points=_points_by_background(content.metrics),
        efficiencies=sorted({point.background_efficiency for point in content.metrics.working_points}),
        cut_flows=[(source.url, *_cut_flow(source.cut_flow)) for source in content.sources if source.cut_flow],
        purities=captions.purities(content.metrics),
        notes=captions.notes(content),
    )


def interval(estimate: Estimate | None) -> str:
    """An efficiency with its errors in percent, such as `52.3 ± 0.6%`; a dash where it could not be measured."""
    return "–" if estimate is None else f"{100 * estimate.value:.{_digits(estimate)}f} {errors(estimate)}"


def errors(estimate: Estimate) -> str:
    """The errors of an efficiency in percent, such as `± 0.6%` or `+0.6 −0.7%`."""
    digits = _digits(estimate)
    up, down = (f"{100 * x:.{digits}f}" for x in (estimate.high - estimate.value, estimate.value - estimate.low))
    return f"± {up}%" if up == down else f"+{up} −{down}%"


def auc(roc: Roc) -> str:
    """An AUC with its error, such as `0.9871 ± 0.0012`."""
    return f"{roc.auc:.4f}" + ("" if roc.auc_error is None else f" ± {roc.auc_error:.4f}")


def _pictures(content: Content) -> dict[str, list[Picture]]:
    metrics = content.metrics
    scores: list[tuple[Figure, str, str]] = [
        (
            figures.scores(metrics, k),
            f"Distribution of the {title} score in each true class",
            captions.score(metrics, k),
        )
        for k, title in enumerate(CLASS_TITLES)
    ]
    features = [
        (figures.feature(h), f"Distribution of {h.axis.feature} in each class", captions.outside(h))
        for h in content.features
    ]
    training = [
        (figure, description, description)
        for description, figure in figures.training(content.history, content.best_epoch)
    ]
    field = "Background efficiency against signal efficiency, logarithmic"
    plain = "ROC curves of each class against the others"
    table = "Confusion matrix, normalised by true class"
    made: dict[str, list[tuple[Figure, str, str]]] = {
        "roc_field": [(figures.roc_field(metrics), field, captions.roc_field(metrics))],
        "roc_plain": [(figures.roc_plain(metrics), plain, captions.roc_plain(metrics))],
        "confusion": [(figures.confusion(metrics), table, captions.confusion(metrics))],
        "scores": scores,
        "features": features,
        "training": training,
    }
    return {key: [Picture(data_uri(f), text, caption) for f, text, caption in group] for key, group in made.items()}


def _points_by_background(metrics: Metrics) -> list[tuple[tuple[str, ...], list[WorkingPoint]]]:
    groups: dict[tuple[str, ...], list[WorkingPoint]] = {}
    for point in sorted(metrics.working_points, key=lambda point: point.background_efficiency):
        groups.setdefault(point.backgrounds, []).append(point)
    # The single backgrounds come first, all of them together last.
    return sorted(groups.items(), key=lambda group: len(group[0]))


def _cut_flow(flow: Mapping[str, Mapping[str, int]]) -> tuple[list[str], list[tuple[str, list[int]]]]:
    names = [name for name in (*CLASSES, *flow) if name in flow]
    classes = list(dict.fromkeys(names))
    cuts = list(dict.fromkeys(cut for name in classes for cut in flow[name]))
    return [_title(name) for name in classes], [(cut, [flow[name].get(cut, 0) for name in classes]) for cut in cuts]


def _digits(estimate: Estimate) -> int:
    return 2 if 0 < estimate.high - estimate.low < 0.002 else 1


def _number(value: int) -> str:
    return f"{value:,}"


def _percent(value: float) -> str:
    return f"{100 * value:g}%"


def _title(name: str | Sequence[str]) -> str | Any:
    if not isinstance(name, str):
        return _title(name[0]) if len(name) == 1 else "all others"
    return CLASS_TITLES[CLASSES.index(name)] if name in CLASSES else name
