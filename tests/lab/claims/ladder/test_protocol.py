"""Presets, the runs that they stand for, and the choice on the grid."""

from collections import Counter

import pytest

from steadynorm.errors import ArgumentError
from steadynorm.lab.claims.ladder import ladder
from steadynorm.lab.claims.ladder._protocol import (
    FIRST_SEED,
    PROTOCOLS,
    Protocol,
    arm_jobs,
    grid_jobs,
    grid_rows,
    protocol_for,
)
from steadynorm.lab.runs.grids import RATES
from steadynorm.lab.runs.options import Options

PRESETS = [(kind, preset) for kind, presets in PROTOCOLS.items() for preset in presets]


@pytest.mark.parametrize(("kind", "preset"), PRESETS)
def test_presets(kind, preset):
    protocol = protocol_for(Options(preset, kind))
    positions = [RATES.index(rate) for rate in protocol.rates]
    assert positions == list(range(positions[0], positions[0] + len(positions)))
    assert protocol.steps % protocol.evaluate_every == 0
    assert protocol.seeds >= 2


def test_quick_and_full_have_the_seeds_they_promise():
    assert [protocol_for(Options(preset, "digits")).seeds for preset in ("quick", "full")] == [3, 5]
    assert protocol_for(Options("full", "digits")).extensions > 0
    assert protocol_for(Options("quick", "some/folder")) == PROTOCOLS["folder"]["quick"]


def test_seeds_are_the_users():
    assert (
        protocol_for(Options("full", "digits", 1)).seeds == protocol_for(Options("full", "digits", 1)).grid_seeds == 1
    )
    assert protocol_for(Options("full", "digits", 9)).seeds == 9


def test_errors():
    with pytest.raises(ArgumentError, match="preset must be one of smoke, quick, full, received 'fast'"):
        Options("fast", "digits")
    with pytest.raises(ArgumentError, match="seeds must be at least 1, received 0"):
        Options("quick", "digits", 0)
    with pytest.raises(ArgumentError, match="threads must be at least 1, received 0"):
        Options(threads=0)


def test_arm_jobs_are_paired_and_at_multiples_of_the_rate():
    protocol = protocol_for(Options("quick", "digits"))
    jobs = arm_jobs(protocol, "digits", 0.01, "glorot")
    assert Counter(job.seed for job in jobs) == {FIRST_SEED + seed: 6 for seed in range(3)}
    rates = {job.recipe.name: job.learning_rate for job in jobs}
    assert rates == pytest.approx(
        {
            "Inception": 0.01,
            "BN-Baseline": 0.01,
            "BN-x5": 0.05,
            "BN-x30": 0.3,
            "BN-x5-Sigmoid": 0.05,
            "Inception-Sigmoid": 0.01,
        }
    )
    assert {job.initialization for job in jobs} == {"glorot"}
    assert all(job.tested for job in jobs)
    assert len({job.id for job in jobs}) == len(jobs)


def test_grid_jobs_are_the_baselines_and_leave_the_test_part_alone():
    jobs = grid_jobs(Protocol(3, 10, 5, (0.01, 0.03), grid_seeds=2), "digits", [0.03, 0.01])
    assert Counter((job.initialization, job.learning_rate) for job in jobs) == {
        (initialization, rate): 2 for initialization in ("glorot", "he") for rate in (0.01, 0.03)
    }
    assert {job.recipe.name for job in jobs} == {"Inception"}
    assert not any(job.tested for job in jobs)


def cells(accuracy, diverged=()):
    """The grid's cells when ``accuracy`` of (initialization, rate) is what its runs come to."""
    jobs = grid_jobs(Protocol(1, 10, 5, (0.01, 0.03, 0.1), grid_seeds=2), "digits", (0.01, 0.03, 0.1))
    results = [
        {
            "best_validation_accuracy": accuracy(job.initialization, job.learning_rate),
            "diverged_at": 7 if (job.initialization, job.learning_rate) in diverged and job.seed > FIRST_SEED else None,
        }
        for job in jobs
    ]
    return grid_rows(jobs, results)


def choose(rows):
    """Rate and initialization of the row that was taken."""
    (taken,) = (row for row in rows if row["chosen"])
    return taken["rate"], taken["initialization"]


def test_the_best_cell_is_chosen():
    made = cells(lambda how, rate: {0.01: 0.5, 0.03: 0.9, 0.1: 0.4}[rate] + 0.01 * (how == "he"))
    assert choose(made) == (0.03, "he")
    assert len(made) == 6


def test_of_equal_cells_the_lowest_rate_is_chosen():
    assert choose(cells(lambda how, rate: 0.9))[0] == 0.01


def test_a_cell_that_diverged_is_not_chosen():
    made = cells(lambda how, rate: rate, diverged={("he", 0.1), ("glorot", 0.1)})
    assert choose(made)[0] == 0.03
    assert {cell["outcome"] for cell in made if cell["rate"] == 0.1} == {"diverged at step 7"}


def test_a_run_without_accuracy_counts_as_none():
    made = cells(lambda how, rate: None)
    assert {score for cell in made for score in cell["scores"]} == {1}


@pytest.mark.parametrize(
    ("best", "extensions", "rate", "optimum", "tried"),
    [
        (0.03, 2, 0.03, "interior", 3),
        (0.3, 2, 0.3, "interior", 5),  # one extension reaches it, the next shows it to be the optimum
        (0.3, 1, 0.3, "at the edge", 4),
        (0.3, 0, 0.1, "at the edge", 3),
        (1.0, 9, 1.0, "at the edge", 5),  # there is no rate beyond
        (0.003, 2, 0.003, "interior", 5),
    ],
)
def test_the_grid_grows_until_its_optimum_is_inside(best, extensions, rate, optimum, tried, monkeypatch):
    protocol = Protocol(1, 10, 5, (0.01, 0.03, 0.1), extensions=extensions)
    monkeypatch.setattr(ladder, "protocol_for", lambda options: protocol)
    work = ladder.CLAIM.work(Options("smoke"), None)
    stage = next(work)
    while stage.name == "grid":
        assert stage.further == 6 * protocol.steps
        results = [
            {
                "seed": job.seed,
                "best_validation_accuracy": 1 / (1 + abs(RATES.index(job.learning_rate) - RATES.index(best))),
                "diverged_at": None,
                "seconds": 1.0,
            }
            for job in stage.jobs
        ]
        stage = work.send(results)
    assert stage.name == "arms"
    assert stage.jobs[0].learning_rate == rate
    with pytest.raises(StopIteration) as end:
        work.send([{**results[0], "seed": job.seed, "test_accuracy": 0.5, "curve": []} for job in stage.jobs])
    found = end.value.value
    assert (found["settings"]["learning_rate"], found["settings"]["optimum"]) == (rate, optimum)
    assert len(found["grid"]) == 2 * tried
