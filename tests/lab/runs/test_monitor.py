"""Progress counts every run's steps once, whatever becomes of it, and the file keeps what matters."""

import json

import pytest

from steadynorm.lab.claims.ladder._protocol import Protocol, arm_jobs
from steadynorm.lab.runs.monitor import Monitor

JOBS = arm_jobs(Protocol(1, 10, 5, (0.03,)), "digits", 0.03, "he")[:3]


@pytest.fixture
def told(tmp_path):
    seen = []
    with Monitor(tmp_path / "metrics.jsonl", seen.append) as monitor:
        monitor.stage("arms", JOBS, further=100)
        yield monitor, seen, tmp_path / "metrics.jsonl"


def step(job, number, **more):
    return {"run": job.id, "step": number, "loss": 1.0, **more}


def test_counts(told):
    monitor, seen, _ = told
    monitor({"run": JOBS[0].id, "finished": True})  # of an earlier sitting
    assert (seen[-1].done, seen[-1].total, seen[-1].seconds_left) == (10, 130, None)
    assert seen[-1].message == "arms: 1 of 3 runs"
    monitor(step(JOBS[1], 6))  # taken up at step 5
    assert (seen[-1].done, seen[-1].seconds_left) == (16, None)  # the clock starts here
    monitor(step(JOBS[1], 7))
    assert (seen[-1].done, seen[-1].total) == (17, 130)
    assert seen[-1].seconds_left > 0
    monitor({**step(JOBS[2], 1), "loss": None})  # diverged
    monitor({"run": JOBS[2].id, "finished": True})
    assert (seen[-1].done, seen[-1].message) == (27, "arms: 2 of 3 runs")


def test_stages_add_up(told):
    monitor, seen, _ = told
    for job in JOBS:
        monitor({"run": job.id, "finished": True})
    more = arm_jobs(Protocol(1, 50, 5, (0.03,)), "digits", 0.01, "he")[:2]
    monitor.stage("more", more)
    monitor(step(more[0], 50))
    assert (seen[-1].done, seen[-1].total, seen[-1].message) == (80, 130, "more: 1 of 2 runs")


def test_a_stage_that_grows_counts_its_runs_once(told):
    monitor, seen, _ = told
    monitor.stage("grid", JOBS[:2])
    for _ in range(2):
        for job in JOBS[:2]:
            monitor({"run": job.id, "finished": True})
    assert seen[-1].done == 20


def test_file_keeps_evaluations_and_divergences(told):
    monitor, _, file = told
    monitor(step(JOBS[0], 1))
    monitor(step(JOBS[0], 5, validation_accuracy=0.5))
    monitor({**step(JOBS[0], 6), "loss": None})
    monitor({"run": JOBS[0].id, "finished": True})
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(5, 1.0), (6, None)]
