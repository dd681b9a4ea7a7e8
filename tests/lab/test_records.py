"""Run directories never collide, files are whole, and a record that does not fit is refused."""

import json
import math
import os
import platform
from pathlib import Path

import pytest

from madeup_runs import record_of
from steadynorm import environment as environment_module
from steadynorm.environment import environment
from steadynorm.errors import DataError
from steadynorm.files import write_beside, write_json
from steadynorm.lab.records import SCHEMA, load_record, validate
from steadynorm.lab.runs.directory import latest_run_directory, new_run_directory


def test_run_directories(tmp_path):
    assert latest_run_directory(tmp_path, "ladder") is None
    made = [new_run_directory(tmp_path, "ladder") for _ in range(3)]
    assert len(set(made)) == 3
    assert made == sorted(made)
    assert all((directory / "checkpoints").is_dir() for directory in made)
    new_run_directory(tmp_path, "other")
    (tmp_path / "ladder" / "zz-not-a-run").mkdir()
    assert latest_run_directory(tmp_path, "ladder") == made[-1]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    file = tmp_path / "result.json"
    write_json(file, {"a": 1})

    def fail(beside):
        beside.write_text("half")
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        write_beside(file, fail)
    assert json.loads(file.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [file]


def test_json_is_strict(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "result.json", {"a": math.nan})
    assert list(tmp_path.iterdir()) == []


def test_load_record(tmp_path):
    record = record_of()
    write_json(tmp_path / "result.json", record)
    assert load_record(tmp_path) == load_record(tmp_path / "result.json") == json.loads(json.dumps(record))


def test_load_record_refuses(tmp_path):
    with pytest.raises(DataError, match=r"must exist, received .*result.json"):
        load_record(tmp_path)
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(DataError, match="must be JSON"):
        load_record(tmp_path)
    write_json(tmp_path / "result.json", {"schema": SCHEMA})
    with pytest.raises(DataError, match=r"must follow steadynorm.record/2"):
        load_record(tmp_path)


def break_schema(record):
    record["schema"] = "steadynorm.record/3"


def break_accuracy(record):
    record["arms"][2]["best_validation_accuracy"] = 98.0


def break_outcome(record):
    record["arms"][0]["outcome"] = "diverged"


def break_curve(record):
    record["arms"][1]["seeds"][0]["curve"][0] = [10]


def break_verdict(record):
    del record["verdict"]


@pytest.mark.parametrize(
    ("flaw", "place"),
    [
        (break_schema, r"\$\.schema"),
        (break_accuracy, r"arms\[2\]\.best_validation_accuracy"),
        (break_outcome, r"arms\[0\]\.outcome"),
        (break_curve, r"arms\[1\]\.seeds\[0\]\.curve\[0\]"),
        (break_verdict, "'verdict' is a required property"),
    ],
)
def test_validation_names_the_place(flaw, place):
    record = json.loads(json.dumps(record_of()))
    validate(record)
    flaw(record)
    with pytest.raises(DataError, match=place):
        validate(record)


def test_environment_tells_versions_and_no_places():
    told = environment(processes=2)
    assert told["python"] == platform.python_version()
    assert {"steadynorm", "torch", "numpy", "scipy"} <= set(told["packages"])
    assert told["processes"] == 2
    text = json.dumps(told, allow_nan=False)
    for secret in (str(Path.home()), os.getcwd(), *filter(None, [platform.node()])):
        assert secret not in text


def test_revision_is_that_of_this_checkout(tmp_path, monkeypatch):
    revision = environment()["revision"]
    assert revision is None or len(revision.rstrip("+")) == 40
    monkeypatch.setattr(
        environment_module, "__file__", str(tmp_path / "environment.py")
    )  # a folder outside of any checkout
    assert environment()["revision"] is None
