"""Claims in parallel: finished ones are kept, an interrupted run is taken up."""

import json

import pytest

from steadynorm.errors import ArgumentError
from steadynorm.lab import reproduce
from steadynorm.lab.catalogue import committed_records, every_claim, last_records
from steadynorm.lab.records import load_record
from steadynorm.lab.runs.directory import new_run_directory
from steadynorm.lab.runs.options import Options

IDS = ["saturation/drift", "trained/linear", "network/parameters"]
CLAIMS = [every_claim()[id] for id in IDS]


def run(preset, directory, *, resume, progress):
    options, committed = Options(preset, threads=1), committed_records()
    return reproduce.run(CLAIMS, options, directory, committed=committed, resume=resume, progress=progress)


def quiet(progress):
    return None


def numbers(result):
    timeless = [{k: v for k, v in record.items() if k not in ("created", "seconds")} for record in result["records"]]
    return json.loads(json.dumps(timeless))


def test_run_resume_and_list(tmp_path):
    directory = new_run_directory(tmp_path, "claims")

    def interrupt(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("smoke", directory, resume=False, progress=interrupt)
    assert not (directory / "result.json").exists()
    seen = []
    result = run("smoke", directory, resume=True, progress=seen.append)
    assert [record["claim"] for record in result["records"]] == IDS
    assert seen[-1].done == seen[-1].total > 3
    assert load_record(directory) == json.loads(json.dumps(result))
    assert last_records(tmp_path)["saturation/drift"]["preset"] == "smoke"
    assert last_records(tmp_path)["saturation/slopes"]["preset"] == "full"

    again = run("smoke", directory, resume=True, progress=quiet)
    assert again["records"] == result["records"]  # to the second: nothing was measured again
    with pytest.raises(ArgumentError, match="must not hold a run already"):
        run("smoke", directory, resume=False, progress=quiet)
    with pytest.raises(ArgumentError, match="give --preset smoke"):
        run("quick", directory, resume=True, progress=quiet)


def test_plan():
    minutes, report = reproduce.plan(CLAIMS, Options("full", threads=2), committed_records())
    assert [(row["claim"], row["steps"]) for row in report if row["what"] == "draws"] == [(IDS[0], 30), (IDS[2], 1)]
    trained = {row["what"]: row for row in report if row["claim"] == IDS[1]}
    assert (trained["arms trained"]["runs"], trained["arms trained"]["steps"]) == (7, 70_000)
    assert minutes == pytest.approx(sum(row["seconds"] for row in report) / 120)
    assert all(row["seconds"] > 0 for row in report)
