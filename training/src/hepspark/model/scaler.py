"""Feature scaling, stored with the plan and the model."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hepspark.config.base import Section
from hepspark.model.network import Floats


class Scaler(Section):
    """Turns features into numbers of mean 0 and width 1. Fitted on the training events alone."""

    mean: tuple[float, ...]
    width: tuple[float, ...]

    def __call__(self, features: Floats) -> Floats:
        """Scaled features; shape (n, features) in and out."""
        scaled: npt.NDArray[np.float64] = (features - np.array(self.mean)) / np.array(self.width)
        return scaled.astype(np.float32)


def fit(
    rows: Sequence[int], means: Sequence[npt.NDArray[np.float64]], squares: Sequence[npt.NDArray[np.float64]]
) -> Scaler:
    """Mean and standard deviation of all shards from those of each (Chan et al. 1979).

    Args:
        rows: Events in each shard.
        means: Mean of each feature in each shard, shape (shards, features).
        squares: Sum of squared distances from that mean, of the same shape.
    """
    weights = np.asarray(rows, dtype=np.float64)[:, None]
    total = weights.sum()
    mean = (weights * np.asarray(means)).sum(axis=0) / total
    square = np.asarray(squares).sum(axis=0) + (weights * (np.asarray(means) - mean) ** 2).sum(axis=0)
    width = np.sqrt(square / total)
    # A feature that never varies says nothing; it stays at 0.
    return Scaler(mean=tuple(mean.tolist()), width=tuple(np.where(width > 0, width, 1.0).tolist()))
