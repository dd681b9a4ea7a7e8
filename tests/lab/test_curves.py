"""Steps to a target and their ratios: mean curves, what is not reached, intervals."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steadynorm.lab.curves import compare, complete, mean_curve, steps_to_target

STEPS = [10, 20, 30, 40]
CURVE = [0.2, 0.6, 0.5, 0.9]
NONE = {"steps_to_target": None, "steps_to_target_interval": None, "ratio": None, "ratio_interval": None}


@pytest.mark.parametrize(
    ("target", "steps"), [(0.1, 10), (0.2, 10), (0.55, 20), (0.6, 20), (0.61, 40), (0.9, 40), (0.91, math.inf)]
)
def test_steps_to_target(target, steps):
    assert steps_to_target(CURVE, STEPS, target) == steps


def test_steps_of_many_curves():
    assert steps_to_target([CURVE, CURVE[::-1]], STEPS, 0.6).tolist() == [20, 10]


def test_a_curve_that_ended_counts_as_chance():
    assert complete([(10, 0.5), (20, 0.7)], STEPS, 0.1) == [0.5, 0.7, 0.1, 0.1]
    assert complete([], STEPS, 0.1) == [0.1] * 4
    assert complete(list(zip(STEPS, CURVE, strict=True)), STEPS, 0.1) == CURVE


def test_the_mean_curve_is_over_seeds_at_each_step():
    assert mean_curve([[0.2, 0.4, 0.6, 0.8], [0.4, 0.4, 0.1, 0.1]], STEPS) == [
        [step, pytest.approx(mean)] for step, mean in zip(STEPS, [0.3, 0.4, 0.35, 0.45], strict=True)
    ]


def rise(at):
    """Accuracy 0.9 from step ``at`` on, 0.1 before."""
    return [0.9 if step >= at else 0.1 for step in STEPS]


def test_seeds_alike_give_the_ratio_without_doubt():
    compared = compare([rise(40)] * 3, [rise(10)] * 3, STEPS, 0.9)
    assert compared == {
        "steps_to_target": 10,
        "steps_to_target_interval": [10, 10],
        "ratio": 4,
        "ratio_interval": [4, 4],
    }


def test_the_mean_curve_counts():
    # by themselves the seeds reach 0.9 at 10, 20 and 30; their mean does at 30
    compared = compare([rise(40)] * 3, [rise(10), rise(20), rise(30)], STEPS, 0.9)
    assert (compared["steps_to_target"], compared["ratio"]) == (30, pytest.approx(4 / 3))
    assert compared["steps_to_target_interval"] == [10, 30]
    assert compared["ratio_interval"] == pytest.approx([4 / 3, 4])


def test_the_interval_is_that_of_all_resamples():
    """Three seeds have 27 resamples; each extreme one has more than 2.5 % of them."""
    arm = np.array([[0.2, 0.5, 0.8, 0.9], [0.3, 0.6, 0.9, 0.9], [0.7, 0.8, 0.9, 0.9]])
    baseline = np.array([[0.1, 0.2, 0.3, 0.8], [0.1, 0.3, 0.7, 0.8], [0.1, 0.2, 0.6, 0.9]])
    ratios = []
    for drawn in itertools.product(range(3), repeat=3):
        b, a = (steps_to_target(curves[list(drawn)].mean(0), STEPS, 0.7) for curves in (baseline, arm))
        ratios.append(float(b / a))
    compared = compare(baseline, arm, STEPS, 0.7)
    assert len(set(ratios)) > 2
    assert compared["ratio_interval"] == pytest.approx([min(ratios), max(ratios)])


def test_not_reached():
    assert compare([rise(40)] * 3, [rise(99)] * 3, STEPS, 0.9) == NONE
    assert compare([rise(40)] * 3, [rise(10), rise(10), rise(99)], STEPS, 0.9) == NONE


def test_reached_on_the_whole_but_not_in_every_resample():
    compared = compare([rise(40)] * 3, [rise(10), rise(10), [0.1, 0.1, 0.8, 0.8]], STEPS, 0.86)
    assert (compared["steps_to_target"], compared["ratio"]) == (30, pytest.approx(4 / 3))
    assert compared["steps_to_target_interval"] is None
    assert compared["ratio_interval"] == [0, 4]


def test_a_baseline_that_a_resample_keeps_below_the_target_counts_its_whole_run():
    baseline = [rise(20), [0.1, 0.8, 0.8, 0.8], rise(20)]
    compared = compare(baseline, [rise(10)] * 3, STEPS, 0.86)
    assert (compared["ratio"], compared["ratio_interval"]) == (2, [2, 4])


def test_one_seed_has_no_interval():
    compared = compare([rise(40)], [rise(10)], STEPS, 0.9)
    assert (compared["ratio"], compared["steps_to_target"]) == (4, 10)
    assert (compared["ratio_interval"], compared["steps_to_target_interval"]) == (None, None)


def test_more_seeds_narrow_the_interval():
    def width(copies):
        arms = [rise(10), [0.1, 0.9, 0.9, 0.9], [0.1, 0.5, 0.9, 0.9]] * copies
        low, high = compare([rise(40)] * 3 * copies, arms, STEPS, 0.6)["ratio_interval"]
        return high - low

    assert width(8) < width(1)


CURVES = st.lists(st.lists(st.integers(0, 100).map(lambda n: n / 100), min_size=4, max_size=4), min_size=1, max_size=4)


@settings(max_examples=25)
@given(CURVES, st.permutations(range(4)))
def test_the_baseline_against_itself_and_the_order_of_seeds(curves, order):
    target = float(np.mean(curves, axis=0).max())
    itself = compare(curves, curves, STEPS, target)
    assert itself["ratio"] == pytest.approx(1)
    shuffled = [curves[i] for i in order if i < len(curves)]
    assert compare(shuffled, shuffled, STEPS, target)["steps_to_target"] == itself["steps_to_target"]
