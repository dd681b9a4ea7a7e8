"""Verdict, reading and table of made-up records of every kind."""

import pytest

from madeup_runs import record_of
from steadynorm.lab.claims.ladder.ladder import CLAIM
from steadynorm.lab.records import validate

NEVER = [(0.9, 20)] * 3
CHANCE = [(0.12, 10)] * 3
TRAINS = [(0.9, 30)] * 3
UNCLEAR = [(0.12, 10), (0.5, 30), (0.12, 10)]  # of sigmoids without batch norm
MIXED = [(0.99, 30), (0.99, 100), (0.99, 40)]  # faster in two seeds, not in the third
SLOWER = [(0.96, 100)] * 3
QUICK_BASELINE = [(0.95, 80)] * 3

KINDS = {
    "confirming": ({}, "confirmed"),
    "baseline at chance": ({"Inception": CHANCE}, "not resolved"),
    "sigmoids train without batch norm": ({"Inception_Sigmoid": TRAINS}, "partly"),
    "sigmoids fail with batch norm": ({"BN_x5_Sigmoid": CHANCE}, "partly"),
    "sigmoids unclear": ({"Inception_Sigmoid": UNCLEAR}, "partly"),
    "BN-x5 too noisy": ({"BN_x5": MIXED}, "partly"),
    "BN-x5 never": ({"BN_x5": NEVER}, "partly"),
    "BN-x30 diverged": ({"BN_x30": [(0.5, 20, 7)] * 3}, "confirmed"),
    "refuting": ({"BN_Baseline": NEVER, "BN_x5": NEVER, "Inception_Sigmoid": TRAINS}, "refuted"),
    "refuting, slower": (
        {"Inception": QUICK_BASELINE, "BN_Baseline": SLOWER, "BN_x5": SLOWER, "Inception_Sigmoid": UNCLEAR},
        "refuted",
    ),
    "one refuted, the others open": (
        {"BN_Baseline": NEVER, "BN_x5": MIXED, "Inception_Sigmoid": UNCLEAR},
        "refuted",
    ),
    "all open": ({"BN_Baseline": MIXED, "BN_x5": MIXED, "Inception_Sigmoid": UNCLEAR}, "not resolved"),
    "none reached": (dict.fromkeys(("BN_Baseline", "BN_x5", "BN_x30", "BN_x5_Sigmoid"), NEVER), "partly"),
}


@pytest.mark.parametrize(("arms", "expected"), KINDS.values(), ids=KINDS)
def test_verdict(arms, expected):
    record = record_of(**arms)
    validate(record)
    assert CLAIM.verdict(record) == expected
    assert record["reading"].endswith(f"Verdict: {expected}.")


def test_one_seed_resolves_no_ratio():
    one = {
        "Inception": [(0.95, 80)],
        "BN_Baseline": [(0.97, 40)],
        "BN_x5": [(0.98, 20)],
        "BN_x30": [(0.98, 20)],
        "BN_x5_Sigmoid": [(0.97, 30)],
        "Inception_Sigmoid": [(0.1, 10)],
    }
    record = record_of(**one)
    validate(record)
    assert record["verdict"] == "partly"  # the sigmoids need no interval
    assert "One seed gives no interval." in record["reading"]
    assert CLAIM.verdict(record_of(**one | {"Inception_Sigmoid": [(0.5, 10)]})) == "not resolved"


def test_an_interval_that_touches_one_resolves_nothing():
    record = record_of(Inception=QUICK_BASELINE, BN_x5=[(0.95, 80), (0.97, 40), (0.97, 40)])
    assert record["arms"][2]["ratio_interval"] == [1, 2]
    assert record["verdict"] == "partly"
    assert "which does not exclude 1" in record["reading"]


def test_reading_of_a_confirming_record():
    text = record_of(Inception=QUICK_BASELINE, BN_x5=[(0.98, 20)] * 3)["reading"]
    assert "Inception without batch norm, at its own best rate 0.03 and from He weights, comes to 95.0 %" in text
    assert "BN-x5 at 0.15 takes 20 steps, ratio 4 (95 % interval 4 to 4); the paper's is 14.8" in text
    assert "comes to 96.7 % with batch norm and to 11.0 % without, where chance is 10.0 %" in text
    assert "With 3 seeds an interval is little more than the range" in text
    for absent in ("diverged", "edge", "still improving", "\n"):
        assert absent not in text


def test_reading_says_what_was_not_reached():
    text = record_of(BN_x5=[(0.98, 20), (0.9, 20), (0.9, 20)])["reading"]
    assert (
        "BN-x5 at 0.15 did not get there within 100 steps (1 of 3 seeds did by themselves); its best is 92.7 %." in text
    )
    text = record_of(BN_x5=[(0.98, 20), (0.98, 20), (0.93, 20)])["reading"]
    assert "2 of 3 seeds got there by themselves" in text


def test_reading_says_what_diverged():
    text = record_of(BN_x30=[(0.5, 20, 7), (0.5, 20, 5), (0.98, 20)])["reading"]
    assert "BN-x30 diverged in 2 of 3 seeds, between steps 5 and 7." in text
    one = record_of(BN_x30=[(0.5, 20, 7), (0.98, 20), (0.98, 20)])["reading"]
    assert "BN-x30 diverged in 1 of 3 seeds, at step 7." in one


def test_reading_of_a_baseline_at_chance_claims_nothing():
    text = record_of(Inception=CHANCE)["reading"]
    assert "nothing is resolved" in text
    assert "ratio" not in text


def test_reading_says_how_far_the_baseline_is_to_be_trusted():
    assert "lies at the edge of its grid" in record_of(optimum="at the edge")["reading"]
    assert "still improving" in record_of(Inception=[(0.95, 100)] * 3)["reading"]


def test_table():
    record = record_of(Inception=QUICK_BASELINE, BN_x30=[(0.5, 20, 7)] * 3, BN_x5=[(0.98, 20), (0.98, 20), (0.93, 20)])
    shown = CLAIM.table(record)
    rows = {row["arm"]: row for row in shown}
    assert list(rows) == [arm["name"] for arm in record["arms"]]
    assert rows["Inception"]["steps to target"] == "80"
    assert rows["BN-Baseline"]["paper: ratio"] == 2.3
    assert rows["BN-Baseline"]["paper: steps"] == "13.3 M"
    assert (rows["BN-x5"]["ratio interval"], rows["BN-x5"]["interval"]) == ("0.00 – 4.00", None)
    assert rows["BN-x30"]["steps to target"] == "diverged at step 7"
    assert rows["Inception-Sigmoid"]["steps to target"] == "not reached"
    assert rows["Inception-Sigmoid"]["best validation %"] == 11.0
    assert record["reading"] in shown.notes
    assert str(shown)
