"""Records of version 0.1, as it wrote them: they are read, and make a report."""

import json
from pathlib import Path

import pytest
from markupsafe import escape

from steadynorm.cli import main
from steadynorm.errors import DataError
from steadynorm.lab.catalogue import claim_of
from steadynorm.lab.records import load_record
from steadynorm.lab.upgrade import upgraded

OLD = Path(__file__).with_name("old")


def test_the_ladder():
    before, record = json.loads((OLD / "ladder.json").read_text()), load_record(OLD / "ladder.json")
    assert before["schema"] == "steadynorm.record/1"
    assert (record["kind"], record["verdict"]) == ("curves", before["verdict"])
    for name in ("statement", "source", "created", "preset", "settings", "environment", "data", "target_accuracy"):
        assert record[name] == before[name]
    claim = claim_of(record)
    assert claim.verdict(record) == before["verdict"]
    assert claim.reading(record) == before["reading"]
    for arm, old in zip(record["arms"], before["arms"], strict=True):
        assert max(accuracy for _, accuracy in arm["curve"]) == pytest.approx(old["best_validation_accuracy"])
        assert arm["recipe"]["rate_multiplier"] == old["recipe"]["rate"]
        unchanged = old.keys() - {"recipe"}
        assert {name: arm[name] for name in unchanged} == {name: old[name] for name in unchanged}
    for row, cell in zip(record["grid"], before["grid"], strict=True):
        assert 1 - row["scores"][0] == pytest.approx(cell["best_validation_accuracy"])
        assert (row["rate"], row["initialization"]) == (cell["learning_rate"], cell["initialization"])
    (taken,) = (row for row in record["grid"] if row["chosen"])
    assert (taken["rate"], taken["initialization"]) == (
        before["settings"]["learning_rate"],
        before["settings"]["initialization"],
    )


def test_a_run_of_claims():
    before, record = json.loads((OLD / "claims.json").read_text()), load_record(OLD / "claims.json")
    assert before["schema"] == "steadynorm.claims/1"
    assert [one["claim"] for one in record["records"]] == [
        "saturation/drift",
        "statistics/variance-at-test",
        "trained/linear",
    ]
    assert [one["kind"] for one in record["records"]] == ["drawn", "drawn", "trained"]
    for one, old in zip(record["records"], before["records"], strict=True):
        assert claim_of(one).verdict(one) == old["verdict"]
        assert claim_of(one).reading(one) == old["reading"]
        assert one["parts"] == old["parts"]
        assert one["charts"] == ([old["chart"]] if old["chart"] else [])


@pytest.mark.parametrize("name", ["ladder", "claims"])
def test_they_make_a_report(name, tmp_path):
    page = tmp_path / "page.html"
    assert main(["report", str(OLD / f"{name}.json"), "-o", str(page)]) == 0
    record = load_record(OLD / f"{name}.json")
    for one in record.get("records", [record]):
        assert one["verdict"] in page.read_text()
        assert str(escape(one["source"])) in page.read_text()


def test_a_record_of_today_stays_as_it_is():
    record = {"schema": "steadynorm.record/2", "claim": "statistics/test-variance"}
    assert upgraded(record) == record


def test_what_only_says_that_it_is_an_old_record_is_refused(tmp_path):
    file = tmp_path / "result.json"
    for schema in ("record", "claim", "claims"):
        file.write_text(json.dumps({"schema": f"steadynorm.{schema}/1"}))
        with pytest.raises(DataError, match=f"does not follow steadynorm.{schema}/1"):
            load_record(file)
    file.write_text("[" * 100_000)
    with pytest.raises(DataError, match="must be JSON"):
        load_record(file)
