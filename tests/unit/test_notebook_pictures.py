"""Pictures for a notebook: what is drawn, and what cannot be."""

import base64
import io

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.image import imread

from hepspark import metrics
from hepspark.errors import InputError
from hepspark.model.artefact import Model
from hepspark.model.network import hlf, initial_weights
from hepspark.model.scaler import Scaler
from hepspark.notebook import pictures
from hepspark.report.axes import PHYSICAL
from hepspark.schema import CLASSES, HLF


@pytest.fixture
def events():
    generator = np.random.default_rng(3)
    columns = {axis.feature: generator.uniform(axis.low, axis.high, 90).astype(np.float32) for axis in PHYSICAL}
    # As far from each other as two features can be.
    return columns | {"label": np.repeat(np.arange(3), 30).astype(np.int8), "MET": -columns["HT"]}


@pytest.fixture
def model():
    history = tuple(
        {
            "epoch": epoch,
            **dict.fromkeys(("loss", "validation_loss", "accuracy", "validation_accuracy", "learning_rate"), 1 / epoch),
            "events_per_second": 1000.0 * epoch,
        }
        for epoch in (1, 2, 3)
    )
    network = hlf()
    return Model(
        url="model", network=network, weights=initial_weights(network, 1),
        scaler=Scaler(mean=(0.0,) * len(HLF), width=(1.0,) * len(HLF)),
        sources=(), counts={}, config={}, history=history, summary={"best_epoch": 2}, versions={},
    )  # fmt: skip


def drawn(picture):
    """Its pixels, and the width at which a page shows it."""
    content, layout = picture._repr_mimebundle_()
    assert set(content) == {"image/png", "text/plain"}
    pixels = imread(io.BytesIO(base64.b64decode(content["image/png"])), format="png")
    assert pixels.std() > 0.01  # something is drawn
    return pixels, layout["image/png"]["width"]


def shares(picture):
    """Of events in each bin, by figure and class."""
    return [patch.get_data().values.tolist() for figure in picture.figures for patch in figure.axes[0].patches]


def test_features_of_any_table_are_drawn_in_rows(events):
    picture = pictures.features(events)
    pixels, width = drawn(picture)
    assert pixels.shape[1] == 2 * width
    assert shares(pictures.features(pa.table(events))) == shares(picture)
    # Unlabelled events are of no class.
    more = {name: np.concatenate([values, values[:5]]) for name, values in events.items()}
    more["label"][-5:] = -1
    assert shares(pictures.features(more)) == shares(picture)
    assert [sum(values) for values in shares(picture)] == pytest.approx([1] * len(shares(picture)))


def test_events_without_a_class_are_refused(events):
    with pytest.raises(InputError, match="none of these events has a label"):
        pictures.features(events | {"label": np.full(90, -1)})


def test_correlations_are_in_percent_of_one_class(events):
    figure = pictures.correlations(events, "ttbar").figures[0]
    drawn(pictures.correlations(events, "ttbar"))
    written = np.array([text.get_text() for text in figure.axes[0].texts]).astype(int).reshape(len(HLF), len(HLF))
    own = np.stack([events[name][30:60] for name in HLF])
    np.testing.assert_allclose(written, 100 * np.corrcoef(own), atol=0.51)
    assert written[HLF.index("HT"), HLF.index("MET")] == -100


def test_a_constant_feature_correlates_with_nothing(events):
    events["LepIsEle"] = np.ones(90, np.float32)
    texts = pictures.correlations(events, "qcd").figures[0].axes[0].texts
    assert len(texts) == (len(HLF) - 1) ** 2


def test_a_class_that_is_not_there_is_refused(events):
    with pytest.raises(InputError, match="no class 'top': the classes are qcd, ttbar, wjets"):
        pictures.correlations(events, "top")
    with pytest.raises(InputError, match="class wjets: 0 events"):
        pictures.correlations({name: values[:60] for name, values in events.items()}, "wjets")


def test_a_training_shows_loss_and_accuracy(model):
    picture = pictures.training(model)
    drawn(picture)
    assert [figure.axes[0].get_ylabel() for figure in picture.figures] == ["Cross-entropy [nats]", "Accuracy"]


def test_speeds_are_those_of_the_epochs(model):
    picture = pictures.speeds({"one": model, "two": model})
    drawn(picture)
    lines = picture.figures[0].axes[0].lines
    assert [line.get_label() for line in lines] == ["one", "two"]
    assert list(lines[0].get_ydata()) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("kind", ["roc", "rejection", "confusion"])
def test_what_was_measured_is_drawn(kind):
    labels = np.repeat(np.arange(3), 20).astype(np.int8)
    scores = np.random.default_rng(1).dirichlet(np.ones(3), 60) + 2 * np.eye(3)[labels]
    measured = metrics.compute(labels, scores / scores.sum(axis=1, keepdims=True), CLASSES[1], (0.1,))
    drawn(getattr(pictures, kind)(measured))
