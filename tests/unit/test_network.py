import numpy as np
import pytest

from hepspark.model.inference import accuracy, cross_entropy, log_probabilities
from hepspark.model.network import Dense, Network, hlf, initial_weights, unflatten
from hepspark.model.scaler import Scaler, fit
from tests.reference import adam

HLF = hlf()


def test_the_hlf_network_is_that_of_the_paper():
    assert [(layer.units, layer.activation) for layer in HLF.layers] == [
        (50, "relu"),
        (20, "relu"),
        (10, "relu"),
        (3, "softmax"),
    ]
    assert HLF.size == 14 * 50 + 50 + 50 * 20 + 20 + 20 * 10 + 10 + 10 * 3 + 3


def test_hidden_layers_have_the_widths_that_are_asked_for():
    assert hlf((7, 4)).shapes == ((7, 14), (7,), (4, 7), (4,), (3, 4), (3,))


def test_initial_weights_follow_from_the_seed_and_stay_within_glorots_limit():
    first, again, other = (initial_weights(HLF, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    matrix, bias = unflatten(HLF, first)[:2]
    assert np.abs(matrix).max() <= np.sqrt(6 / 64)
    assert not bias.any()


def test_a_forward_pass_by_hand():
    network = Network(
        name="tiny", inputs=2, layers=(Dense(units=1, activation="relu"), Dense(units=2, activation="softmax"))
    )
    weights = np.array([1, -1, 0.5, 2, -2, 0, 1], np.float32)  # (1,2), bias, (2,1), two biases
    log_p = log_probabilities(network, weights, np.array([[1, 0], [0, 3]], np.float32))
    # First event: hidden 1.5, logits (3, -2); second: hidden 0, logits (0, 1).
    expected = [[1 / (1 + np.exp(-5)), 1 / (1 + np.exp(5))], [1 / (1 + np.e), np.e / (1 + np.e)]]
    np.testing.assert_allclose(np.exp(log_p), expected, rtol=1e-6)


def test_large_inputs_give_finite_probabilities():
    log_p = log_probabilities(HLF, initial_weights(HLF, 0) * 10, np.full((4, 14), 1e4, np.float32))
    assert np.isfinite(log_p).all()
    np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1, rtol=1e-5)


def test_loss_and_accuracy_by_hand():
    log_p = np.log(np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]], np.float32))
    labels = np.array([0, 1], np.int8)
    assert cross_entropy(log_p, labels) == pytest.approx(-(np.log(0.7) + np.log(0.3)) / 2, rel=1e-6)
    assert accuracy(log_p, labels) == 0.5


def test_the_references_gradient_is_that_of_the_loss():
    """The reference of the step tests is itself checked, against finite differences of the loss in 64 bits."""
    generator = np.random.default_rng(3)
    weights = initial_weights(HLF, 5).astype(np.float64)
    features, labels = generator.normal(size=(20, 14)), generator.integers(0, 3, 20)
    loss, gradient = adam.gradient(unflatten(HLF, weights), features, np.eye(3)[labels])
    assert loss == pytest.approx(cross_entropy(log_probabilities(HLF, weights, features), labels))
    for position in generator.choice(HLF.size, 40, replace=False):
        step = np.zeros_like(weights)
        step[position] = 1e-6
        up, down = (cross_entropy(log_probabilities(HLF, weights + s, features), labels) for s in (step, -step))
        assert gradient[position] == pytest.approx((up - down) / 2e-6, rel=1e-3, abs=1e-6)


def test_the_scaler_of_shards_is_that_of_all_events():
    events = np.random.default_rng(0).normal(loc=1e3, scale=[1, 10, 0], size=(1000, 3))
    parts = np.split(events, [100, 350])
    scaler = fit(
        [len(part) for part in parts],
        [part.mean(axis=0) for part in parts],
        [((part - part.mean(axis=0)) ** 2).sum(axis=0) for part in parts],
    )
    np.testing.assert_allclose(scaler.mean, events.mean(axis=0))
    np.testing.assert_allclose(scaler.width[:2], events.std(axis=0)[:2])
    assert scaler.width[2] == 1  # a constant feature is left at 0 and not divided by 0


def test_scaling():
    scaled = Scaler(mean=(1.0, 10.0), width=(2.0, 5.0))(np.array([[3, 0]], np.float32))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, [[1, -2]])
