"""The state of a training between two steps, and the learning rate of each step."""

from dataclasses import dataclass
from math import cos, pi, sqrt

import numpy as np

from hepspark.config import ScheduleConfig
from hepspark.model.network import Floats


@dataclass(frozen=True)
class AdamState:
    """Everything a training needs to go on: all arrays have the shape (network.size,), in flat order."""

    weights: Floats
    first_moment: Floats
    second_moment: Floats
    updates: int
    """How many updates were applied; Adam's bias correction depends on it."""


def fresh(weights: Floats) -> AdamState:
    """The state before the first update."""
    return AdamState(weights, np.zeros_like(weights), np.zeros_like(weights), 0)


def learning_rates(config: ScheduleConfig, batch: int, steps: int, steps_per_epoch: int) -> list[float]:
    """The learning rate of every step, constant within a step.

    The full rate follows from the batch size (Goyal et al., arXiv:1706.02677, for the linear rule); it is
    reached by a linear warm-up and left along a cosine.

    Args:
        config: The schedule.
        batch: Events in one batch.
        steps: Number of steps of the whole run.
        steps_per_epoch: Number of steps in one epoch.
    """
    ratio = batch / config.reference_batch
    factor = {"linear": ratio, "sqrt": sqrt(ratio), "none": 1.0}[config.scaling]
    full = min(config.rate * factor, config.max_rate)
    warmup = min(round(config.warmup_epochs * steps_per_epoch), steps)
    rates = []
    for step in range(steps):
        if step < warmup:
            rates.append(full * (step + 1) / (warmup + 1))
        elif config.decay == "constant":
            rates.append(full)
        else:
            progress = (step - warmup) / max(steps - warmup, 1)
            share = config.final_fraction + (1 - config.final_fraction) * (1 + cos(pi * progress)) / 2
            rates.append(full * share)
    return rates
