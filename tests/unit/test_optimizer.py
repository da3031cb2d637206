from itertools import pairwise

import numpy as np
import pytest

from hepspark.config import ScheduleConfig
from hepspark.model.optimizer import fresh, learning_rates


def test_the_rate_climbs_then_falls_to_its_final_fraction():
    config = ScheduleConfig(rate=1e-3, warmup_epochs=1, final_fraction=0.1, reference_batch=100)
    rates = learning_rates(config, batch=100, steps=40, steps_per_epoch=4)
    assert rates[:4] == pytest.approx([0.2e-3, 0.4e-3, 0.6e-3, 0.8e-3])
    assert rates[4] == pytest.approx(1e-3)
    assert all(earlier > later for earlier, later in pairwise(rates[4:]))
    assert rates[22] == pytest.approx(0.55e-3)  # half-way along the cosine
    assert 0.1e-3 < rates[-1] < 0.11e-3


@pytest.mark.parametrize(("scaling", "expected"), [("linear", 4e-3), ("sqrt", 2e-3), ("none", 1e-3)])
def test_the_rate_grows_with_the_batch(scaling, expected):
    config = ScheduleConfig(
        rate=1e-3, scaling=scaling, reference_batch=100, warmup_epochs=0, decay="constant", max_rate=1
    )
    assert learning_rates(config, 400, 3, 1) == pytest.approx([expected] * 3)


def test_the_scaled_rate_is_bounded():
    config = ScheduleConfig(rate=1e-3, reference_batch=100, warmup_epochs=0, decay="constant", max_rate=2e-3)
    assert learning_rates(config, 10_000, 2, 1) == pytest.approx([2e-3] * 2)


def test_a_run_shorter_than_its_warm_up_has_a_rate_for_every_step():
    rates = learning_rates(ScheduleConfig(warmup_epochs=5), 768, 3, 2)
    assert len(rates) == 3
    assert rates == sorted(rates)


def test_a_fresh_state_has_no_moments():
    state = fresh(np.ones(5, np.float32))
    assert not state.first_moment.any()
    assert not state.second_moment.any()
    assert state.updates == 0
