"""Descriptions of networks, independent of the engine that trains them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from hepspark.config.base import Section
from hepspark.schema import CLASSES, HLF

Floats = npt.NDArray[np.float32]


class Dense(Section):
    """A fully connected layer."""

    units: int
    activation: Literal["relu", "softmax"]


class Network(Section):
    """A stack of layers over the high-level features; the last one gives a probability per class."""

    name: str
    inputs: int
    layers: tuple[Dense, ...]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the weights: (out, in) of a layer's matrix, then (out,) of its bias."""
        widths = (self.inputs, *(layer.units for layer in self.layers))
        return tuple(shape for inner, outer in pairwise(widths) for shape in ((outer, inner), (outer,)))

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(int(np.prod(shape)) for shape in self.shapes)


def hlf(hidden: Sequence[int] | None = None) -> Network:
    """The classifier over the high-level features.

    Args:
        hidden: Widths of its hidden layers; those of arXiv:1909.10389 where left out.
    """
    layers = [Dense(units=units, activation="relu") for units in hidden or (50, 20, 10)]
    return Network(name="hlf", inputs=len(HLF), layers=(*layers, Dense(units=len(CLASSES), activation="softmax")))


NETWORKS = {"hlf": hlf}
"""Networks by name."""


def initial_weights(network: Network, seed: int) -> Floats:
    """Glorot-uniform matrices and zero biases (Glorot and Bengio, 2010).

    Returns:
        All weights in flat order, shape (network.size,).
    """
    generator = np.random.default_rng(seed)
    parts = []
    for shape in network.shapes:
        limit = np.sqrt(6.0 / sum(shape)) if len(shape) == 2 else 0.0
        parts.append(generator.uniform(-limit, limit, shape).astype(np.float32).ravel())
    return np.concatenate(parts)


def unflatten(network: Network, flat: Floats) -> list[Floats]:
    """The weights of each layer as views into the flat array."""
    ends = np.cumsum([int(np.prod(shape)) for shape in network.shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), network.shapes, strict=True)]
