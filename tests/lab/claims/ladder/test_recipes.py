"""The arms differ by what the paper changed, and by nothing else."""

from dataclasses import asdict

import pytest

from steadynorm.lab.claims.ladder._arms import ARMS, BASELINE, PAPER, PAPER_TARGET

SEVEN = {
    "rate_multiplier",
    "dropout",
    "weight_decay",
    "halvings",
    "local_response_norm",
    "shuffling",
    "distortion",
}


def changed(name, of):
    before, after = asdict(ARMS[of]), asdict(ARMS[name])
    return {field for field in before if before[field] != after[field]} - {"name"}


def test_the_six_arms():
    names = ["Inception", "BN-Baseline", "BN-x5", "BN-x30", "BN-x5-Sigmoid", "Inception-Sigmoid"]
    assert [recipe.name for recipe in ARMS.values()] == list(ARMS) == names
    assert ARMS["Inception"] is BASELINE


@pytest.mark.parametrize(
    ("name", "of", "fields"),
    [
        ("BN-Baseline", "Inception", {"batch_norm"}),
        ("BN-x5", "BN-Baseline", SEVEN),
        ("BN-x30", "BN-x5", {"rate_multiplier"}),
        ("BN-x5-Sigmoid", "BN-x5", {"activation"}),
        ("Inception-Sigmoid", "Inception", {"activation"}),
    ],
)
def test_what_changes(name, of, fields):
    assert changed(name, of) == fields


def test_the_baseline_is_the_original():
    assert (BASELINE.batch_norm, BASELINE.local_response_norm, BASELINE.dropout) == (False, True, 0.4)
    assert (BASELINE.batch_size, BASELINE.rate_multiplier, BASELINE.shuffling) == (32, 1, "batches")


def test_sizes_of_the_changes():
    before, after = ARMS["BN-Baseline"], ARMS["BN-x5"]
    assert after.rate_multiplier == 5 * before.rate_multiplier
    assert after.weight_decay == pytest.approx(before.weight_decay / 5)
    assert after.halvings == 6 * before.halvings
    assert (after.dropout, after.local_response_norm, after.shuffling) == (0, False, "examples")
    assert after.distortion < before.distortion
    assert ARMS["BN-x30"].rate_multiplier == 30


def test_the_papers_rates_are_the_multiples():
    assert list(PAPER) == list(ARMS)
    for name, recipe in ARMS.items():
        if PAPER[name].learning_rate is not None:
            assert PAPER[name].learning_rate == pytest.approx(0.0015 * recipe.rate_multiplier)
    assert PAPER[BASELINE.name].best_accuracy == PAPER_TARGET
