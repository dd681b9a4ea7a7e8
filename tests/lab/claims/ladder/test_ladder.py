"""The ladder from end to end, on the digits: run through, interrupted and taken up again, refused."""

import json

import pytest
import yaml

from steadynorm.errors import ArgumentError
from steadynorm.lab import reproduce
from steadynorm.lab.claims.ladder import _protocol
from steadynorm.lab.claims.ladder._arms import ARMS
from steadynorm.lab.claims.ladder.ladder import CLAIM
from steadynorm.lab.records import load_record
from steadynorm.lab.runs.directory import new_run_directory
from steadynorm.lab.runs.options import Options

SMOKE = Options("smoke", threads=2)


def run(options, directory, *, resume, progress=lambda progress: None):
    return reproduce.run([CLAIM], options, directory, committed={}, resume=resume, progress=progress, alone=True)


def plan(options):
    return reproduce.plan([CLAIM], options, {})


def numbers(record):
    """What must be equal: everything but times and dates."""
    made = json.loads(json.dumps(record))
    del made["created"], made["seconds"]
    for arm in made["arms"]:
        for seed in arm["seeds"]:
            del seed["seconds"]
    return made


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One ladder run through."""
    directory = new_run_directory(tmp_path_factory.mktemp("runs"), "ladder")
    seen = []
    return directory, run(SMOKE, directory, resume=False, progress=seen.append), seen


def test_end_to_end(whole):
    directory, record, seen = whole
    assert load_record(directory) == json.loads(json.dumps(record))
    assert [arm["name"] for arm in record["arms"]] == list(ARMS)
    assert all(len(arm["seeds"]) == 2 for arm in record["arms"])
    assert all(step % 5 == 0 for arm in record["arms"] for seed in arm["seeds"] for step, _ in seed["curve"])
    assert record["verdict"] == CLAIM.verdict(record)
    assert len(record["grid"]) == 2
    assert len(CLAIM.table(record)) == 6
    assert json.loads((directory / "env.json").read_text()) == record["environment"]
    assert yaml.safe_load((directory / "config.yaml").read_text())["options"]["preset"] == "smoke"
    assert not list(directory.rglob("*.pt"))  # no state of finished runs stays behind

    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    points = {(line["run"], line["step"]): line["validation_accuracy"] for line in lines}
    baseline = record["arms"][0]["seeds"][0]
    how = record["settings"]["initialization"]
    for step, accuracy in baseline["curve"]:
        assert points[f"ladder/Inception-{how}-0.03-seed{baseline['seed']}", step] == accuracy

    assert seen[-1].done == seen[-1].total == 14 * 10
    assert [p.done for p in seen] == sorted(p.done for p in seen)


def test_interrupted_and_resumed_to_the_same_numbers(whole, tmp_path):
    def interrupt(progress):
        if progress.done >= 55:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(SMOKE, tmp_path, resume=False, progress=interrupt)
    assert not (tmp_path / "result.json").exists()
    states = list((tmp_path / "checkpoints" / "ladder").iterdir())
    assert any(file.suffix == ".pt" for file in states)  # a run was half done
    assert any(file.suffix == ".json" for file in states)  # and others were finished
    record = run(SMOKE, tmp_path, resume=True)
    assert numbers(record) == numbers(whole[1])


def test_resuming_a_finished_ladder_repeats_nothing(whole):
    directory, record, _ = whole
    before = (directory / "metrics.jsonl").read_text()
    again = run(SMOKE, directory, resume=True)
    assert again == {**record, "environment": again["environment"]}
    assert (directory / "metrics.jsonl").read_text() == before


def test_refuses_a_directory_that_is_taken(whole):
    directory, *_ = whole
    with pytest.raises(ArgumentError, match="must not hold a run already"):
        run(SMOKE, directory, resume=False)
    with pytest.raises(ArgumentError, match="resumed with its own settings"):
        run(Options("smoke", seeds=3), directory, resume=True)


def test_plan_says_what_a_run_does(whole):
    minutes, report = plan(SMOKE)
    assert sum(row["runs"] for row in report) == 14
    assert minutes > 0
    assert minutes == pytest.approx(sum(row["seconds"] for row in report) / 120)
    assert sum(row["steps"] for row in report) == whole[2][-1].total
    assert any("minutes with 2 processes" in note for note in report.notes)
    assert sum(row["runs"] for row in plan(Options("smoke", seeds=4, threads=1))[1]) == 26


def test_a_run_that_fails_ends_the_ladder_with_its_error(tmp_path, monkeypatch):
    monkeypatch.setattr(_protocol, "WIDTH", _protocol.WIDTH / 7)
    with pytest.raises(ArgumentError, match="whole number of maps"):
        run(Options("smoke", threads=1), tmp_path, resume=False)
