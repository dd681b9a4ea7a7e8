"""Trained claims: rates from a grid or from the committed record, seeds paired, runs that can be taken up."""

import json
from dataclasses import replace

import pytest
import torch

from madeup_claims import settled
from steadynorm.lab.catalogue import committed_records, every_claim
from steadynorm.lab.claim import Arm, Part, Rounds, Trained
from steadynorm.lab.claims.landscape.depth import linear_law, relu_law
from steadynorm.lab.claims.trained import linear, sigmoid
from steadynorm.lab.records import validate
from steadynorm.lab.runs.options import Options

TRAINED = [claim for claim in every_claim().values() if isinstance(claim, Trained)]

BEST = {"one": 4.0, "other": 2.0}


def train(arm, rate, seeds, steps):
    """Descend in no time: the score is least at the arm's best rate."""
    yield steps
    return [
        {
            "score": abs(rate - BEST[arm]) + seed / 10,
            "values": {"rate": rate, "seed": seed},
            "lines": {arm: [(0, 1), (steps, 2)]},
        }
        for seed in seeds
    ]


def compare(outcomes):
    one, other = outcomes["one"]["values"], outcomes["other"]["values"]
    return {"ratio": one["rate"] / other["rate"], "apart": one["seed"] - other["seed"]}


MADE_UP = Trained(
    id="made/trained",
    order=1,
    statement="One takes twice the rate of the other.",
    source="nobody 2001",
    literature="two",
    covers=("S1",),
    protocol="Nothing was done.",
    parts=(Part("ratio", 1.9, 2.1, by="mean"), Part("apart", 0.0, 0.0, role="control")),
    draws={"smoke": 2, "quick": 3, "full": 5},
    arms=(Arm("one", (1.0, 2.0, 4.0, 8.0)), Arm("other", (1.0, 2.0, 4.0, 8.0))),
    rounds={preset: Rounds(10, 30, 2) for preset in ("smoke", "quick", "full")},
    train=train,
    compare=compare,
    chart={"title": "t", "x": "step", "y": "y", "log_x": False, "log_y": False},
)


def names(done):
    """Arm, rate, seeds and steps of jobs."""
    return [job.id.removeprefix(f"{MADE_UP.id}/") for job in done]


def test_full_takes_the_best_rate_of_each_grid_and_the_others_check_its_neighbours(monkeypatch):
    done = []
    full = json.loads(json.dumps(settled(MADE_UP, "full", done=done)))
    validate(full)
    assert full["verdict"] == "confirmed"
    assert full["settings"]["draws"] == 5
    assert names(done)[:4] == ["one-1-2x10", "one-2-2x10", "one-4-2x10", "one-8-2x10"]
    assert names(done)[8:] == ["one-4-5x30", "other-2-5x30"]

    done.clear()
    quick = settled(MADE_UP, "quick", full, done=done)
    assert names(done)[:6] == [*(f"one-{rate}-2x10" for rate in (2, 4, 8)), *(f"other-{r}-2x10" for r in (1, 2, 4))]
    assert quick["verdict"] == "confirmed"

    monkeypatch.setitem(BEST, "other", 4.0)  # elsewhere a neighbour is better
    moved = settled(MADE_UP, "quick", full)
    assert moved["verdict"] == "not resolved"
    assert "Rates are not settled: other at 2 is beaten by its neighbour 4." in moved["reading"]
    assert settled(MADE_UP, "full", full)["verdict"] == "refuted"  # which takes its own rates


def test_a_grid_whose_best_is_its_end_settles_nothing(monkeypatch):
    monkeypatch.setitem(BEST, "one", 100.0)
    assert settled(MADE_UP, "full")["verdict"] == "not resolved"


def test_an_arm_that_is_another_rate_of_one_is_trained_once():
    twice = replace(MADE_UP, arms=(*MADE_UP.arms, Arm("again", (4.0,), trains="one")))
    done = []
    record = settled(twice, "full", done=done)
    assert names(done)[8:] == ["one-4-5x30", "other-2-5x30"]
    assert [row["arm"] for row in record["grid"]][-1] == "again"


def test_a_run_stops_when_told():
    seen = []
    job = next(MADE_UP.work(Options("full"), None)).jobs[0]
    assert job.run(None, stopped=lambda: True, report=seen.append) is None
    assert not seen


@pytest.mark.parametrize("claim", TRAINED, ids=lambda claim: claim.id)
def test_a_few_steps_give_a_record(claim):
    done = []
    record = json.loads(json.dumps(settled(claim, "smoke", committed_records().get(claim.id), done=done)))
    validate(record)
    assert [part["quantity"] for part in record["parts"]] == [part.quantity for part in claim.parts]
    assert None not in [part["value"] for part in record["parts"]]
    assert all(one.id.startswith(f"{claim.id}/") for one in done)
    short = replace(claim, arms=claim.arms[:1])

    def seconds(preset):
        return sum(stage.seconds for stage in short.plan(Options(preset), None).stages)

    assert seconds("full") > seconds("smoke") > 0


def outcomes_of(training):
    while True:
        try:
            next(training)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize(
    ("module", "arm", "rate", "steps"),
    [(linear, "L1", 1e-6, 3), (sigmoid, "batch norm", 0.3, 200), (sigmoid, "plain", 0.3, 200)],
)
def test_seeds_side_by_side_are_the_seeds_alone(module, arm, rate, steps):
    both = outcomes_of(module.train(arm, rate, (0, 1), steps))
    alone = [outcomes_of(module.train(arm, rate, (seed,), steps))[0] for seed in (0, 1)]
    for one, other in zip(both, alone, strict=True):
        assert one["score"] == pytest.approx(other["score"], rel=1e-3)
    assert both[0]["score"] != both[1]["score"]


def test_a_rate_too_high_diverges_and_leaves_no_score():
    (outcome,) = outcomes_of(linear.train("plain", 1.0, (0,), 50))
    assert outcome["score"] is None
    values = linear.compare(
        {arm: {"score": 1.0} for arm in linear.NORMS}
        | {"plain": outcome, "plain at 1e-6": outcome, "batch norm at 1e-6": {"score": 2.0}}
    )
    assert values["log10 of loss, plain over batch norm"] == float("inf")
    assert values["log10 of loss, L1 over batch norm"] == 0


def test_what_stands_still_does_not_drift():
    levels = torch.tensor([-1.0, 0.0, 1.0])[:, None, None].expand(3, 50, 4)
    assert sigmoid.drift(levels) == {"drift of the median": 0.0, "drift of the width": 0.0}
    walking = levels + torch.linspace(0, 10, 50)[:, None]
    assert sigmoid.drift(walking)["drift of the median"] == pytest.approx(torch.linspace(0, 10, 50).std().item() / 2)
    assert sigmoid.drift(7 * walking) == pytest.approx(sigmoid.drift(walking), abs=1e-5)  # without unit


def test_the_law_of_relu_is_the_mean_over_directions():
    m = 8
    h = torch.randn(400_000, m, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    centred = h - h.mean(1, keepdim=True)
    u = centred / centred.norm(dim=1, keepdim=True)
    g = torch.eye(m, dtype=torch.float64) - 1 / m
    d = (u > 0).double()
    trace = torch.einsum("ij,nj,ji,ni->n", g, d, g, d) - torch.einsum("ni,ni,ij,nj,nj->n", u, d, g, d, u)
    x_hat = m**0.5 * u
    variance = (
        x_hat.relu().square().mean(1) - (x_hat.relu().sum(1).square() - x_hat.relu().square().sum(1)) / (m * (m - 1))
    ).mean()
    assert relu_law(m) == pytest.approx(float(m / (variance * (m - 3)) * trace.mean() / (m - 1)), rel=2e-3)
    assert relu_law(10**7) == pytest.approx(torch.pi / (torch.pi - 1), rel=1e-5)
    assert linear_law(8) == 1.2
