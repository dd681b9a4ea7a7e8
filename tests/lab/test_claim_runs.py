"""Claims in parallel: finished ones are kept, an interrupted run is taken up."""

import json

import pytest

from steadynorm.errors import ArgumentError
from steadynorm.lab.claims.catalogue import last_records
from steadynorm.lab.claims.running import plan, run
from steadynorm.lab.records import load_record, new_run_directory

IDS = ["saturation/drift", "trained/linear", "network/parameters"]


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
        run(IDS, "smoke", directory, processes=1, resume=False, progress=interrupt)
    assert not (directory / "result.json").exists()
    seen = []
    result = run(IDS, "smoke", directory, processes=1, resume=True, progress=seen.append)
    assert [record["claim"] for record in result["records"]] == IDS
    assert seen[-1].done == seen[-1].total > 3
    assert load_record(directory) == json.loads(json.dumps(result))
    assert last_records(tmp_path)["saturation/drift"]["preset"] == "smoke"
    assert last_records(tmp_path)["saturation/slopes"]["preset"] == "full"

    again = run(IDS, "smoke", directory, processes=1, resume=True, progress=quiet)
    assert again["records"] == result["records"]  # to the second: nothing was measured again
    with pytest.raises(ArgumentError, match="must not hold claims"):
        run(IDS, "smoke", directory, processes=1, resume=False, progress=quiet)
    with pytest.raises(ArgumentError, match="give --preset smoke"):
        run(IDS, "quick", directory, processes=1, resume=True, progress=quiet)


def test_plan():
    minutes, report = plan(IDS, "full", 2)
    assert [row["draws"] for row in report] == [30, 5, 1]
    assert minutes == pytest.approx(sum(row["seconds"] for row in report) / 120)
