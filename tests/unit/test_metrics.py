import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from hepspark import metrics
from hepspark.errors import InputError
from hepspark.schema import CLASSES


def curve(signal, background):
    values = np.array([*signal, *background], dtype=float)
    truth = np.arange(len(values)) < len(signal)
    return metrics.roc(truth, values, "ttbar", ("qcd",))


def one_hot(*classes, top=0.8):
    scores = np.full((len(classes), 3), (1 - top) / 2, dtype=np.float32)
    scores[np.arange(len(classes)), classes] = top
    return scores


def test_events_with_equal_discriminants_pass_a_cut_together():
    found = curve([3, 2, 2], [2, 1])
    assert found.background_efficiency.tolist() == [0, 0, 0.5, 1]
    assert found.signal_efficiency.tolist() == pytest.approx([0, 1 / 3, 1, 1])


def test_auc_of_ties_counts_them_half():
    # Pairs that are in order: 3>2, 3>1, 2>1, 2>1; tied: 2=2 twice; six pairs.
    assert curve([3, 2, 2], [2, 1]).roc.auc == pytest.approx(5 / 6)


def test_delong_error_by_hand():
    # Share of background below each signal event: 1, 3/4, 3/4; of signal above each background event: 2/3, 1.
    expected = np.sqrt((1 / 48) / 3 + (1 / 18) / 2)
    assert curve([3, 2, 2], [2, 1]).roc.auc_error == pytest.approx(expected)


@pytest.mark.parametrize(
    ("signal", "background", "expected"),
    [([3, 4], [1, 2], 1.0), ([1, 2], [3, 4], 0.0), ([7, 7], [7, 7], 0.5)],
    ids=["perfect", "inverted", "undecided"],
)
def test_auc_of_extreme_classifiers(signal, background, expected):
    assert curve(signal, background).roc.auc == expected


def test_auc_of_a_random_classifier_is_half_within_its_error():
    generator = np.random.default_rng(7)
    found = curve(generator.normal(size=4000), generator.normal(size=4000)).roc
    assert found.auc == pytest.approx(0.5, abs=4 * found.auc_error)
    # For a random classifier the variance is (m + n + 1) / (12 m n).
    assert found.auc_error == pytest.approx(np.sqrt(8001 / (12 * 4000 * 4000)), rel=0.05)


def test_auc_error_is_the_spread_of_repeated_samples():
    generator = np.random.default_rng(3)
    toys = [curve(generator.normal(1.5, 1, 80), generator.normal(0, 1, 160)).roc for _ in range(400)]
    assert np.mean([toy.auc_error for toy in toys]) == pytest.approx(np.std([toy.auc for toy in toys]), rel=0.15)


def test_one_event_on_a_side_has_no_auc_error():
    assert curve([3], [2, 1]).roc.auc_error is None


values = st.lists(st.integers(-4, 4), min_size=1, max_size=12)


def test_curves_are_those_of_scikit_learn():
    generator = np.random.default_rng(5)
    is_signal = generator.random(3000) < 0.3
    score = np.round(generator.normal(is_signal, 1.5), 1)  # with ties
    score[generator.random(3000) < 0.05] = np.inf
    found = metrics.roc(is_signal, score, "ttbar", ("qcd",))
    x, y, _ = roc_curve(is_signal, np.nan_to_num(score, posinf=99.0), drop_intermediate=False)
    np.testing.assert_allclose(found.background_efficiency, x, rtol=1e-12)
    np.testing.assert_allclose(found.signal_efficiency, y, rtol=1e-12)
    assert found.roc.auc == pytest.approx(roc_auc_score(is_signal, np.nan_to_num(score, posinf=99.0)), rel=1e-12)


def test_the_confusion_matrix_is_that_of_scikit_learn():
    generator = np.random.default_rng(6)
    scores = generator.dirichlet((1, 1, 1), 500)
    labels = generator.integers(0, 3, 500).astype(np.int8)
    found = metrics.compute(labels, scores, "ttbar", (0.1,))
    assert found.confusion == tuple(map(tuple, confusion_matrix(labels, scores.argmax(axis=1)).tolist()))


@given(values, values)
def test_auc_is_the_share_of_ordered_pairs(signal, background):
    pairs = np.sign(np.subtract.outer(signal, background))
    assert curve(signal, background).roc.auc == pytest.approx(np.mean((pairs + 1) / 2))


@given(st.lists(st.integers(-4, 4), min_size=2, max_size=12), st.lists(st.integers(-4, 4), min_size=2, max_size=12))
def test_delong_error_by_its_definition(signal, background):
    order = (np.sign(np.subtract.outer(signal, background)) + 1) / 2
    m, n = order.shape
    expected = np.sqrt(order.mean(axis=1).var(ddof=1) / m + order.mean(axis=0).var(ddof=1) / n)
    assert metrics.auc_error(np.array(signal, float), np.array(background, float)) == pytest.approx(expected)


def test_midranks_share_the_rank_of_equal_values():
    assert metrics.midranks(np.array([5.0, 1.0, 5.0, 9.0])).tolist() == [2.5, 1, 2.5, 4]


def test_binomial_interval_by_hand():
    half = metrics.binomial(5, 10)
    assert (half.value, half.low, half.high) == pytest.approx((0.5, 0.5 - 0.150756, 0.5 + 0.150756), abs=1e-6)
    none, every = metrics.binomial(0, 10), metrics.binomial(10, 10)
    assert (none.low, none.value, none.high) == pytest.approx((0, 0, 1 / 11))
    assert (every.low, every.value, every.high) == pytest.approx((10 / 11, 1, 1))


def test_working_point_takes_the_loosest_cut_that_is_allowed():
    found = curve([9, 8, 7, 1], [8.5, 6, 5, 4, 3, 2.5, 2, 0.5, 0.4, 0.3])
    point = metrics.working_point(found, 0.1)
    assert point.signal_efficiency.value == 0.75
    # Just below one background event in ten, only 9 is above every background event; and it cannot be measured.
    assert metrics.working_point(found, 0.099).signal_efficiency is None
    assert metrics.working_point(found, 0.2).signal_efficiency.value == 0.75
    assert metrics.working_point(found, 0.7).signal_efficiency.value == 1.0


def test_working_point_does_not_take_half_of_a_tie():
    found = curve([9, 5, 5], [5, 5, 5, 1])
    assert metrics.working_point(found, 0.5).signal_efficiency.value == pytest.approx(1 / 3)


def test_working_point_interval_holds_both_samples():
    signal = np.linspace(0, 1, 1001)
    background = np.linspace(-0.9, 0.1, 101)
    found = metrics.working_point(curve(signal, background), 0.05).signal_efficiency
    binomial = metrics.binomial(round(found.value * 1001), 1001)
    # Background efficiency falls by 1 over a unit of the cut, signal efficiency too: the cut's error adds directly.
    spread = np.sqrt(0.05 * 0.95 / 101)
    assert found.high - found.value == pytest.approx(np.hypot(binomial.high - found.value, spread), abs=0.01)
    assert found.value - found.low == pytest.approx(np.hypot(found.value - binomial.low, spread), abs=0.01)
    assert found.high - found.value > 1.5 * (binomial.high - found.value)


def test_log_odds_tells_apart_what_rounds_to_one():
    scores = np.array([[1e-30, 1.0, 1e-30], [1e-20, 1.0, 1e-20], [0.2, 0.5, 0.3]], dtype=np.float32)
    odds = metrics.log_odds(scores, 1, [0, 2])
    assert odds[0] > odds[1] > odds[2]
    assert odds[2] == pytest.approx(0, abs=1e-6)


def test_log_odds_of_two_classes_leaves_out_the_third():
    scores = np.array([[0.1, 0.3, 0.6]], dtype=np.float32)
    assert metrics.log_odds(scores, 1, [0])[0] == pytest.approx(np.log(3), rel=1e-6)


def test_confusion_accuracy_and_score_counts():
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2], dtype=np.int8)
    scores = one_hot(0, 0, 0, 1, 1, 2, 2, 2)
    found = metrics.compute(labels, scores, "ttbar", (0.25,))
    assert found.confusion == ((3, 1, 0), (0, 1, 1), (0, 0, 2))
    assert found.events == (4, 2, 2)
    assert found.accuracy.value == 6 / 8
    assert found.balanced_accuracy == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    qcd_score = np.array(found.score_counts[0])
    # 0.1 and 0.8 fall into bins 5 and 40 of fifty.
    assert qcd_score.sum(axis=1).tolist() == [4, 2, 2]
    assert [qcd_score[0, 40] + qcd_score[0, 39], qcd_score[1, 40] + qcd_score[1, 39]] == [3, 0]


def test_curves_and_working_points_are_those_of_the_signal():
    labels = np.array([0, 0, 1, 1, 2, 2], dtype=np.int8)
    found = metrics.compute(labels, one_hot(0, 1, 1, 1, 2, 2), "wjets", (0.5, 0.9))
    assert [(roc.signal, roc.backgrounds) for roc in found.signal_rocs] == [
        ("wjets", ("qcd",)),
        ("wjets", ("ttbar",)),
        ("wjets", ("qcd", "ttbar")),
    ]
    assert [roc.signal for roc in found.one_vs_rest] == list(CLASSES)
    assert found.one_vs_rest[2].auc == 1.0
    # Against the four others: one qcd event has the same score as the two of ttbar.
    assert found.one_vs_rest[1].auc == pytest.approx((2 * 3 + 2 * 0.5) / 8)
    assert {(point.backgrounds, point.background_efficiency) for point in found.working_points} == {
        (backgrounds, efficiency)
        for backgrounds in (("qcd",), ("ttbar",), ("qcd", "ttbar"))
        for efficiency in (0.5, 0.9)
    }


def test_a_class_without_events_is_named():
    with pytest.raises(InputError, match=r"no event of class qcd, wjets: .*evaluate\.input"):
        metrics.compute(np.array([1, 1]), one_hot(1, 1), "ttbar", (0.1,))


def test_a_long_curve_is_thinned_without_changing_its_picture():
    generator = np.random.default_rng(11)
    found = curve(generator.normal(0.3, 1, 20_000), generator.normal(0, 1, 20_000))
    x, y = np.array(found.roc.background_efficiency), np.array(found.roc.signal_efficiency)
    assert len(x) <= metrics.MANY_POINTS < len(found.background_efficiency)
    assert (x[0], x[-1], y[-1]) == (0, 1, 1)
    assert x[x > 0].min() == 1 / 20_000
    # A logarithmic axis shows this part as wide as the rest.
    assert np.count_nonzero((x > 0) & (x < 0.01)) > 50
    area = np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2)
    assert area == pytest.approx(found.roc.auc, abs=1e-3)
