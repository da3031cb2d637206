"""The forward pass in numpy: what a trained network says of events, without the engine that trained it."""

import numpy as np
import numpy.typing as npt

from hepspark.model.artefact import Model
from hepspark.model.network import Floats, Network, unflatten


def predict(model: Model, features: Floats) -> Floats:
    """Class probabilities of events.

    Args:
        model: A trained model.
        features: Raw features in the order of `model.features`, shape (n, features).

    Returns:
        Shape (n, classes).
    """
    return np.exp(log_probabilities(model.network, model.weights, model.scaler(features)))


def log_probabilities(network: Network, weights: Floats, features: Floats) -> Floats:
    """Logarithm of the class probabilities.

    Args:
        network: Description of the network.
        weights: All weights in flat order, shape (network.size,).
        features: Scaled features, shape (n, network.inputs).

    Returns:
        Shape (n, classes).
    """
    activation = features
    layers = unflatten(network, weights)
    for layer, matrix, bias in zip(network.layers, layers[::2], layers[1::2], strict=True):
        activation = activation @ matrix.T + bias
        if layer.activation == "relu":
            activation = np.maximum(activation, 0)
        else:
            activation = activation - activation.max(axis=1, keepdims=True)
            activation = activation - np.log(np.exp(activation).sum(axis=1, keepdims=True))
    return activation


def cross_entropy(log_p: Floats, labels: npt.NDArray[np.int8]) -> float:
    """Mean categorical cross-entropy in nats."""
    return float(-np.mean(log_p[np.arange(len(labels)), labels], dtype=np.float64))


def accuracy(log_p: Floats, labels: npt.NDArray[np.int8]) -> float:
    """Share of events whose likeliest class is their own."""
    return float(np.mean(log_p.argmax(axis=1) == labels))
