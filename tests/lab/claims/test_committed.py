"""The committed records: whole, judged as they say, by the readings that the claims still have."""

import json
import re
from dataclasses import asdict

import pytest

from steadynorm.files import results
from steadynorm.lab.catalogue import committed_records, every_claim
from steadynorm.lab.claim.parts import Measured
from steadynorm.lab.records import load_record, validate

CLAIMS = every_claim()
RECORDS = committed_records()
LADDERS = {file.stem: load_record(file) for file in sorted((results() / "ladder").glob("*.json"))}
OF_PARTS = [claim for claim in CLAIMS.values() if isinstance(claim, Measured)]
TOLD = ("statement", "source", "literature", "protocol", "instead")


def test_every_claim_has_one_and_there_are_twenty():
    assert list(RECORDS) == list(CLAIMS)
    assert len(RECORDS) >= 20


@pytest.mark.parametrize("record", LADDERS.values(), ids=LADDERS)
def test_the_ladders_verdict_follows_from_its_record(record):
    claim = CLAIMS["ladder"]
    assert claim.verdict(record) == record["verdict"]
    assert claim.reading(record) == record["reading"]
    assert claim.measured(record).startswith("BN-Baseline: ")
    assert [record[name] for name in TOLD] == [getattr(claim, name) for name in TOLD]


def test_the_verdicts_are_those_that_were_found():
    """A record of another verdict is another finding: change it here, knowing why."""
    unconfirmed = {id: record["verdict"] for id, record in RECORDS.items() if record["verdict"] != "confirmed"}
    assert unconfirmed == UNCONFIRMED
    assert {data: record["verdict"] for data, record in LADDERS.items()} == {"digits": "confirmed", "cifar10": "partly"}


UNCONFIRMED = {
    "bias/overflow": "refuted",
    "landscape/gradient-norm": "partly",
    "landscape/jagged": "refuted",
    "network/folding": "partly",
    "network/parameters": "refuted",
    "saturation/drift": "refuted",
    "scale/growth": "partly",
    "scale/limits": "partly",
    "statistics/frameworks": "refuted",
    "statistics/pixels": "partly",
    "statistics/rebinding": "refuted",
    "statistics/training-variance": "refuted",
    "trained/linear": "refuted",
    "trained/sigmoid": "partly",
    "transform/identity": "partly",
    "whitening/spectrum": "partly",
}


@pytest.mark.parametrize("claim", OF_PARTS, ids=lambda claim: claim.id)
def test_verdict_and_reading_follow_from_the_record(claim):
    record = RECORDS[claim.id]
    validate(record)
    assert record["preset"] == "full"
    assert record["settings"]["draws"] == claim.draws["full"]
    assert record["verdict"] == claim.verdict(record)
    assert record["reading"] == claim.reading(record)
    for name in TOLD:
        assert record[name] == getattr(claim, name), f"{name} has changed since: run: make docs-text"
    ranges = ("quantity", "at_least", "at_most", "literature", "by", "role")
    assert [{name: part[name] for name in ranges} for part in record["parts"]] == [
        {name: asdict(part)[name] for name in ranges} for part in claim.parts
    ], "a reading is not changed after the measurement: measure again"


@pytest.mark.parametrize("claim", OF_PARTS, ids=lambda claim: claim.id)
def test_no_place_is_told(claim):
    text = json.dumps(RECORDS[claim.id])
    assert re.search(r"/\w+/", text) is None
