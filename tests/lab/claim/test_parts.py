"""Verdicts of made-up records: confirming, refuting, in between, too noisy to tell."""

import pytest

from madeup_claims import claim_of, record_of
from steadynorm.lab.claim import Part
from steadynorm.lab.claim.judging import combine
from steadynorm.lab.records import validate

EXACT = Part("size", at_least=1.0, at_most=2.0, literature=1.5)
MEAN = Part("size", at_least=1.0, at_most=2.0, by="mean")
OTHER = Part("error", at_most=0.1)
CLAIM = claim_of()  # verdict, reading and table are the record's


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([(EXACT, [1.0, 1.7, 2.0])], "confirmed"),
        ([(EXACT, [1.0, 1.7, 2.1])], "refuted"),  # one draw is enough
        ([(EXACT, [0.9])], "refuted"),
        ([(EXACT, [float("nan"), 1.5])], "not resolved"),
        ([(MEAN, [1.4, 1.5, 1.6])], "confirmed"),
        ([(MEAN, [3.4, 3.5, 3.6])], "refuted"),
        ([(MEAN, [0.1, 0.2, 0.15])], "refuted"),
        ([(MEAN, [0.5, 1.5, 2.5])], "not resolved"),  # the mean is right, the interval wide
        ([(MEAN, [1.9, 2.0, 2.1])], "not resolved"),
        ([(MEAN, [1.5])], "not resolved"),  # one draw has no interval
        ([(MEAN, [1.5, 1.5])], "confirmed"),
        ([(EXACT, [1.5]), (OTHER, [0.05])], "confirmed"),
        ([(EXACT, [1.5]), (OTHER, [0.5])], "partly"),
        ([(MEAN, [0.5, 1.5]), (OTHER, [0.05, 0.05])], "partly"),
        ([(MEAN, [0.5, 1.5]), (OTHER, [0.5, 0.5])], "refuted"),
        ([(EXACT, [1.5]), (Part("control", at_least=1.0, role="control"), [0.5])], "not resolved"),
        ([(EXACT, [1.5]), (Part("control", at_least=1.0, role="control"), [1.5])], "confirmed"),
        ([(EXACT, [1.5]), (Part("beside", role="shown"), [99.0])], "confirmed"),
    ],
)
def test_verdicts(parts, expected):
    record = record_of(*parts)
    validate(record)
    assert record["verdict"] == CLAIM.verdict(record) == expected


def test_of_no_parts_nothing_follows():
    assert combine([]) == "not resolved"


def test_a_refutation_says_what_holds_instead_and_a_confirmation_does_not():
    refuted = record_of((EXACT, [3.25, 3.0]))
    assert CLAIM.reading(refuted) == "Size: 3.25, within 1 and 2: does not hold. It is 3.25. Verdict: refuted."
    assert "It is" not in record_of((EXACT, [1.5]))["reading"]
    assert "It is" not in record_of((MEAN, [0.5, 2.5]))["reading"]


def test_the_value_of_an_exact_part_is_the_one_furthest_out():
    record = record_of((EXACT, [1.5, 0.2, 2.1]), (OTHER, [0.01, 0.02, 0.015]))
    assert [part["value"] for part in record["parts"]] == [0.2, 0.02]
    assert [part["interval"] for part in record["parts"]] == [[0.2, 2.1], [0.01, 0.02]]


def test_intervals_are_students():
    (part,) = record_of((MEAN, [1.0, 2.0, 3.0]))["parts"]
    half = 4.302652729911275 / 3**0.5  # t of 2 degrees of freedom at 97.5 %, by the standard error
    assert part["value"] == 2.0
    assert part["interval"] == pytest.approx([2 - half, 2 + half])


def test_table_and_line():
    record = record_of((EXACT, [1.5]), (Part("beside", role="shown"), [99.0]))
    rows = list(CLAIM.table(record))
    assert (rows[0]["literature"], rows[0]["measured"], rows[0]["holds"]) == (1.5, 1.5, "yes")
    assert rows[1]["holds if"] == "(shown)"
    assert CLAIM.measured(record) == "size: 1.5"
