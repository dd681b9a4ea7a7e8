"""The committed records: whole, judged as they say, by the readings that the claims still have."""

import json
import re
from dataclasses import asdict

import pytest

from steadynorm.lab.claims.catalogue import ENTRIES, committed_records, measured
from steadynorm.lab.claims.reading import reading, verdict
from steadynorm.lab.claims.registry import CLAIMS
from steadynorm.lab.ladder import verdict as ladder_verdict
from steadynorm.lab.records import validate

RECORDS = committed_records()


def test_every_claim_has_one_and_there_are_twenty():
    assert list(RECORDS) == list(ENTRIES)
    assert len(RECORDS) >= 20


def test_the_ladders_verdict_follows_from_its_record():
    assert ladder_verdict(RECORDS["ladder"]) == RECORDS["ladder"]["verdict"]
    assert measured(RECORDS["ladder"]).startswith("BN-Baseline: ")


@pytest.mark.parametrize("id", CLAIMS)
def test_verdict_and_reading_follow_from_the_record(id):
    record, claim = RECORDS[id], CLAIMS[id]
    validate(record)
    assert record["preset"] == "full"
    assert record["settings"]["draws"] == claim.draws["full"]
    assert record["verdict"] == verdict(record)
    assert record["reading"] == reading(record)
    for name in ("statement", "source", "literature", "protocol", "instead"):
        assert record[name] == getattr(claim, name), f"{name} has changed since: run: make claims"
    ranges = ("quantity", "at_least", "at_most", "literature", "by", "role")
    assert [{name: part[name] for name in ranges} for part in record["parts"]] == [
        {name: asdict(part)[name] for name in ranges} for part in claim.parts
    ], "a reading is not changed after the measurement: measure again"


@pytest.mark.parametrize("id", CLAIMS)
def test_no_place_is_told(id):
    text = json.dumps(RECORDS[id])
    assert re.search(r"/\w+/", text) is None
