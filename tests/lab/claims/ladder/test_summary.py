"""What a record says of an arm, from its runs."""

import pytest

from madeup_runs import record_of
from steadynorm.lab.records import validate


def arm(record, name):
    return next(arm for arm in record["arms"] if arm["name"] == name)


def test_the_target_is_the_best_of_the_baselines_mean():
    record = record_of(Inception=[(0.95, 80), (0.94, 90), (0.96, 100)])
    baseline = arm(record, "Inception")
    assert record["target_accuracy"] == baseline["best_validation_accuracy"] == pytest.approx(0.95)
    assert (baseline["steps_to_target"], baseline["ratio"], baseline["outcome"]) == (100, 1, "reached")
    # the third seed alone gets there, the others by their own best never do
    assert [seed["outcome"] for seed in baseline["seeds"]] == ["reached", "not reached", "reached"]


def test_an_arm():
    x5 = arm(record_of(), "BN-x5")
    assert [seed["steps_to_target"] for seed in x5["seeds"]] == [20, 20, 30]
    assert (x5["steps_to_target"], x5["ratio"]) == (30, pytest.approx(10 / 3))
    assert x5["learning_rate"] == pytest.approx(0.15)
    assert x5["best_validation_accuracy"] == pytest.approx((0.98 + 0.98 + 0.97) / 3)
    assert x5["test_accuracy"] == pytest.approx((0.98 + 0.98 + 0.97) / 3 - 0.01)
    assert (x5["paper"]["learning_rate"], x5["paper"]["steps_to_target"]) == (0.0075, 2.1e6)
    assert (x5["recipe"]["rate_multiplier"], x5["recipe"]["shuffling"]) == (5, "examples")
    assert not {"name", "paper"} & x5["recipe"].keys()


@pytest.mark.parametrize(
    ("runs", "outcome", "of_seeds"),
    [
        ([(0.99, 20), (0.93, 20), (0.99, 30)], "reached", ["reached", "not reached", "reached"]),
        ([(0.98, 20), (0.5, 20), (0.5, 30)], "not reached", ["reached", "not reached", "not reached"]),
        (
            [(0.5, 20, 37), (0.5, 20, 13), (0.98, 30)],
            "diverged at step 13",
            ["diverged at step 37", "diverged at step 13", "reached"],
        ),
        (
            [(0.5, 20, 37), (0.5, 20, 13), (0.5, 20, 26)],
            "diverged at step 26",
            ["diverged at step 37", "diverged at step 13", "diverged at step 26"],
        ),
        ([(0.5, 20, 37), (0.5, 20), (0.5, 30)], "not reached", ["diverged at step 37", "not reached", "not reached"]),
        ([(0.98, 20, 51), (0.98, 20, 52), (0.98, 20)], "reached", ["reached"] * 3),  # reached it first, then diverged
    ],
)
def test_outcomes(runs, outcome, of_seeds):
    record = record_of(BN_x30=runs)
    validate(record)
    x30 = arm(record, "BN-x30")
    assert x30["outcome"] == outcome
    assert [seed["outcome"] for seed in x30["seeds"]] == of_seeds
    assert (x30["steps_to_target"] is None) == (x30["ratio"] is None) == (outcome != "reached")


def test_a_diverged_run_pulls_the_mean_to_chance():
    x30 = arm(record_of(BN_x30=[(0.98, 20, 51), (0.98, 60), (0.98, 60)]), "BN-x30")
    # before the divergence the others are still rising, after it one in three is at chance
    assert x30["best_validation_accuracy"] == pytest.approx((0.98 + 2 * (0.1 + 0.88 * 5 / 6)) / 3)
    assert x30["seeds"][0]["diverged_at"] == 51


def test_divergence_before_the_first_evaluation():
    record = record_of(BN_x30=[(0.5, 20, 3)] * 3)
    validate(record)
    x30 = arm(record, "BN-x30")
    assert (x30["best_validation_accuracy"], x30["test_accuracy"]) == (pytest.approx(0.1), None)
    assert x30["outcome"] == "diverged at step 3"
    assert [seed["best_validation_accuracy"] for seed in x30["seeds"]] == [None] * 3


def test_a_baseline_that_never_lived():
    record = record_of(Inception=[(0.5, 20, 3)] * 3)
    validate(record)
    assert record["target_accuracy"] == pytest.approx(0.1)
    assert record["verdict"] == "not resolved"
