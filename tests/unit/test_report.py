import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations

import numpy as np
import pytest

from hepspark import metrics
from hepspark.report import captions, figures
from hepspark.report.axes import PHYSICAL, Axis, fill, for_features
from hepspark.report.content import Content, FeatureHistogram, SourceSummary
from hepspark.report.render import errors, interval, render
from hepspark.report.style import data_uri, styled
from hepspark.schema import HLF

KEYS = {
    *("schema_version", "classes", "model", "network", "trained", "created", "version", "sources", "signal"),
    *("metrics", "features", "history", "best_epoch"),
}


def epochs(count):
    return tuple(
        {
            "epoch": k,
            "loss": 1 / k,
            "validation_loss": 1.1 / k,
            "validation_accuracy": 1 - 0.5 / k,
            "learning_rate": 1e-3,
        }
        for k in range(1, count + 1)
    )


def evaluation(per_class=200, history=None):
    history = epochs(3) if history is None else history
    generator = np.random.default_rng(5)
    labels = np.repeat(np.arange(3), per_class).astype(np.int8)
    weights = np.exp(generator.normal(size=(len(labels), 3)) + 2 * np.eye(3)[labels])
    scores = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    features = generator.uniform([axis.low for axis in PHYSICAL], [axis.high for axis in PHYSICAL], (len(labels), 14))
    counts = fill(PHYSICAL, features.astype(np.float32), labels)
    return Content(
        model="/models/<script>alert(1)</script>",
        network="hlf",
        trained="2026-01-01",
        created="2026-01-02",
        version="1",
        sources=(
            SourceSummary("/data/a&b", "f1", (per_class,) * 3, {"qcd": {"read": 50_000, "test": per_class}}),
            SourceSummary("/data/plain", "f2", (0, 0, 0), {}),
        ),
        signal="ttbar",
        metrics=metrics.compute(labels, scores, "ttbar", (0.001, 0.1)),
        features=tuple(
            FeatureHistogram(axis, tuple(map(tuple, table.tolist())))
            for axis, table in zip(PHYSICAL, counts, strict=True)
        ),
        history=history,
        best_epoch=len(history) or None,
    )


class Page(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture(scope="module")
def html():
    return render(evaluation())


def test_every_picture_is_in_the_page(html):
    pictures = Page(html).all("img")
    # Two ROC pictures, the confusion matrix, three scores, the features, three training curves.
    assert len(pictures) == 2 + 1 + 3 + len(HLF) + 3
    for picture in pictures:
        head, data = picture["src"].split(",", 1)
        assert head == "data:image/svg+xml;base64"
        assert b"<path" in base64.b64decode(data)
        assert picture["alt"]


def test_the_page_asks_for_nothing_else(html):
    page = Page(html)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert not [a for _, a in page.tags if "href" in a]
    assert not re.search(r"url\(|@import|https?:", html)
    for picture in page.all("img"):
        svg = base64.b64decode(picture["src"].split(",", 1)[1]).decode()
        assert not re.search(r'href="(?!#|data:)', svg)


def test_text_is_escaped(html):
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "/data/a&amp;b" in html


def test_key_figures_and_cut_flow_are_told(html):
    text = Page(html).text
    content = evaluation()
    for roc in content.metrics.one_vs_rest:
        assert f"{roc.auc:.4f}" in text
    assert f"{100 * content.metrics.accuracy.value:.1f}%" in text
    assert "50,000" in text
    assert "600 test events" in text


def test_the_same_evaluation_gives_the_same_picture():
    histogram = evaluation().features[0]
    with styled():
        first, second = (data_uri(figures.feature(histogram)) for _ in range(2))
    assert first == second


def numbers_at_ticks(axis):
    """Texts and boxes (pixels) of the numbers that an axis shows."""
    axis.figure.draw_without_rendering()
    low, high = sorted(axis.get_view_interval())
    shown = [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [(text.get_text(), text.get_window_extent()) for text in shown if text.get_text()]


@pytest.mark.parametrize("count", [1, 2, 7, 30, 75])
def test_epochs_are_counted_in_round_numbers(count):
    with styled():
        for _, figure in figures.training(epochs(count), None):
            told = [int(text) for text, _ in numbers_at_ticks(figure.axes[0].xaxis)]
            assert 1 <= len(told) <= 9
            steps = set(np.diff(told))
            assert len(steps) <= 1
            assert {str(step).rstrip("0") for step in steps} <= {"1", "2", "5"}


def test_numbers_of_the_rocs_magnified_corner_do_not_touch():
    with styled():
        (corner,) = figures.roc_plain(evaluation().metrics).axes[0].child_axes
        boxes = [box for axis in (corner.xaxis, corner.yaxis) for _, box in numbers_at_ticks(axis)]
    assert len(boxes) >= 6
    assert not [(a, b) for a, b in combinations(boxes, 2) if a.overlaps(b)]


def test_json_has_its_keys_and_is_strict():
    content = evaluation(history=())
    told = json.loads(json.dumps(content.as_json(), allow_nan=False))
    assert set(told) == KEYS
    assert told["schema_version"] == 1
    assert told["metrics"]["one_vs_rest"][1]["auc"] == content.metrics.one_vs_rest[1].auc
    assert told["metrics"]["working_points"][0]["signal_efficiency"] is None
    assert told["features"][0]["axis"]["feature"] == "HT"


def drawn(content):
    """Make and save the pictures that depend on how much there is to show."""
    with styled():
        made = [
            figures.roc_field(content.metrics),
            figures.confusion(content.metrics),
            figures.scores(content.metrics, 0),
        ]
        made += [figures.feature(content.features[9]), *(f for _, f in figures.training(content.history, 1))]
        return [data_uri(figure) for figure in made]


def test_a_handful_of_events_and_one_epoch_can_be_drawn():
    assert len(drawn(evaluation(per_class=1, history=epochs(1)))) == 4 + 3


def test_a_model_without_history_has_no_training_pictures():
    content = evaluation(history=())
    assert figures.training(content.history, None) == []
    assert "no record" in captions.notes(content)["training"]


def test_missing_and_infinite_values_of_the_history_are_left_out():
    history = ({"epoch": 1, "loss": None, "validation_loss": float("nan")}, {"epoch": 2, "learning_rate": 1e-3})
    assert [text for text, _ in figures.training(history, None)] == ["Learning rate at each epoch"]


def test_a_feature_that_no_event_of_a_class_has_can_be_drawn():
    histogram = evaluation().features[9]
    empty = replace(histogram, counts=(histogram.counts[0], (0,) * len(histogram.counts[0]), histogram.counts[2]))
    with styled():
        assert data_uri(figures.feature(empty))


def test_what_lies_beyond_an_axis_is_counted_and_shown_at_its_ends():
    axis = Axis("HT", "HT", "GeV", 0, 4, 2)
    features = np.array([[-1], [0], [1.9], [2], [4], [9]], dtype=np.float32)
    (counts,) = fill([axis], features, np.array([0, 0, 0, 2, 2, 2], dtype=np.int8))
    assert counts.tolist() == [[1, 2, 0, 0], [0, 0, 0, 0], [0, 0, 1, 2]]
    assert figures.folded(counts[0]).tolist() == [3, 0]
    assert figures.folded(counts[2]).tolist() == [0, 3]
    told = captions.outside(FeatureHistogram(axis, tuple(map(tuple, counts.tolist()))))
    assert "≤ 66.7%" in told


def test_axes_follow_the_units_of_the_features():
    width = [1.0] * 14
    in_gev = [300.0, 50, 0, 60, *[1.0] * 10]
    assert for_features(in_gev, width) == PHYSICAL
    squared = for_features([300.0, 50, 0, 5000, *[1.0] * 10], width)
    assert (squared[3].unit, squared[:3], squared[4:]) == ("GeV$^2$", PHYSICAL[:3], PHYSICAL[4:])
    stored = for_features([0.1] * 14, [0.02] * 14)
    assert {axis.unit for axis in stored} == {"as stored"}
    assert (stored[0].low, stored[0].high) == pytest.approx((0.04, 0.2))


def test_axes_are_in_the_order_of_the_features():
    assert tuple(axis.feature for axis in PHYSICAL) == HLF


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        (metrics.Estimate(0.523, 0.517, 0.529), "52.3 ± 0.6%"),
        (metrics.Estimate(0.523, 0.510, 0.529), "52.3 +0.6 −1.3%"),
        (metrics.Estimate(0.9919, 0.9915, 0.9923), "99.19 ± 0.04%"),
        (None, "–"),
    ],
)
def test_intervals_are_written_as_in_a_talk(estimate, expected):
    assert interval(estimate) == expected
    assert estimate is None or interval(estimate).endswith(errors(estimate))
