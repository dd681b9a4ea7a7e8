"""The ladder from end to end, on the digits: run through, interrupted and taken up again, refused."""

import json

import pytest
import yaml

from steadynorm.errors import ArgumentError
from steadynorm.lab import ladder
from steadynorm.lab.ladder import LadderOptions, plan
from steadynorm.lab.records import load_record, new_run_directory

SMOKE = LadderOptions("smoke", threads=2)


def numbers(record):
    """What must be equal: everything but times and dates."""
    made = json.loads(json.dumps(record))
    del made["created"]
    for arm in made["arms"]:
        for seed in arm["seeds"]:
            del seed["seconds"]
    return made


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One ladder run through."""
    directory = new_run_directory(tmp_path_factory.mktemp("runs"), "ladder")
    seen = []
    return directory, ladder.run(SMOKE, directory, resume=False, progress=seen.append), seen


def test_end_to_end(whole):
    directory, record, seen = whole
    assert load_record(directory) == json.loads(json.dumps(record))
    assert [arm["name"] for arm in record["arms"]] == list(ladder.ARMS)
    assert all(len(arm["seeds"]) == 2 for arm in record["arms"])
    assert all(step % 5 == 0 for arm in record["arms"] for seed in arm["seeds"] for step, _ in seed["curve"])
    assert record["verdict"] == ladder.verdict(record)
    assert len(record["grid"]) == 2
    assert len(ladder.table(record)) == 6
    assert json.loads((directory / "env.json").read_text()) == record["environment"]
    assert yaml.safe_load((directory / "config.yaml").read_text())["options"]["preset"] == "smoke"
    assert not list(directory.rglob("*.pt"))  # no state of finished runs stays behind

    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    points = {(line["run"], line["step"]): line["validation_accuracy"] for line in lines}
    baseline = record["arms"][0]["seeds"][0]
    how = record["settings"]["initialization"]
    for step, accuracy in baseline["curve"]:
        assert points[f"Inception-{how}-0.03-seed{baseline['seed']}", step] == accuracy

    assert seen[-1].done == seen[-1].total == 14 * 10
    assert [p.done for p in seen] == sorted(p.done for p in seen)


def test_interrupted_and_resumed_to_the_same_numbers(whole, tmp_path):
    def interrupt(progress):
        if progress.done >= 55:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ladder.run(SMOKE, tmp_path, resume=False, progress=interrupt)
    assert not (tmp_path / "result.json").exists()
    states = list((tmp_path / "checkpoints").iterdir())
    assert any(file.suffix == ".pt" for file in states)  # a run was half done
    assert any(file.suffix == ".json" for file in states)  # and others were finished
    record = ladder.run(SMOKE, tmp_path, resume=True, progress=lambda progress: None)
    assert numbers(record) == numbers(whole[1])


def test_resuming_a_finished_ladder_repeats_nothing(whole):
    directory, record, _ = whole
    before = (directory / "metrics.jsonl").read_text()
    again = ladder.run(SMOKE, directory, resume=True, progress=lambda progress: None)
    assert again == {**record, "environment": again["environment"]}
    assert (directory / "metrics.jsonl").read_text() == before


def test_refuses_a_directory_that_is_taken(whole):
    directory, *_ = whole
    with pytest.raises(ArgumentError, match="must not hold a ladder already"):
        ladder.run(SMOKE, directory, resume=False, progress=lambda progress: None)
    with pytest.raises(ArgumentError, match="resumed with its own settings"):
        ladder.run(LadderOptions("smoke", seeds=3), directory, resume=True, progress=lambda progress: None)


def test_plan_says_what_a_run_does(whole):
    made = plan(SMOKE)
    assert made.runs == 14
    assert made.minutes > 0
    report = made.report()
    assert sum(row["steps"] for row in report) == whole[2][-1].total
    assert any("minutes with 2 processes" in note for note in report.notes)
    assert plan(LadderOptions("smoke", seeds=4, threads=1)).runs == 26


def test_errors():
    with pytest.raises(ArgumentError, match="threads must be at least 1, received 0"):
        plan(LadderOptions("smoke", threads=0))


def test_a_run_that_fails_ends_the_ladder_with_its_error(tmp_path, monkeypatch):
    monkeypatch.setattr("steadynorm.lab.protocol.WIDTH", ladder.WIDTH / 7)
    with pytest.raises(ArgumentError, match="whole number of maps"):
        ladder.run(LadderOptions("smoke", threads=1), tmp_path, resume=False, progress=lambda progress: None)
