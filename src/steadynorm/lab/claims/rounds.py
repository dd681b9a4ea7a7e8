"""From a trained claim to its record: the grid, the trainings that are judged, the verdict.

The preset ``full`` trains every rate of an arm's grid for the steps after which rates are compared, with some of the
seeds, and then the best rate with all seeds to the end. The others take the rate from the committed record and train it
beside its two neighbours; with no such record they have the whole grid before them, too. Either way the record holds
the grid, and a claim is not resolved unless the rate taken is better than both of its neighbours.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import registry
from .base import Preset
from .grids import by_arm, chosen, mean_score
from .measuring import record_of
from .training import Outcome, Trained

__all__ = ["Round", "estimate", "grid_rounds", "grid_rows", "settle"]

Results = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Round:
    """The training of one arm at one rate, as a run for the :class:`~steadynorm.lab.pool.Pool`."""

    claim: str
    arm: str
    rate: float
    seeds: int
    steps: int

    @property
    def id(self) -> str:
        """Its name."""
        return f"{self.claim}/{self.arm}-{self.rate:g}-{self.seeds}x{self.steps}"

    def run(
        self, state_file: Path, *, stopped: Callable[[], bool], report: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any] | None:
        """Return the outcomes; None when stopped, after which it begins anew, since it takes minutes at most."""
        start = time.perf_counter()
        training = registry.TRAINED[self.claim].train(self.arm, self.rate, range(self.seeds), self.steps)
        while not stopped():
            try:
                report({"run": self.id, "step": max(1, next(training))})
            except StopIteration as end:
                return {"outcomes": end.value, "seconds": round(time.perf_counter() - start, 3)}
        return None


def settle(
    claim: Trained,
    preset: Preset,
    committed: Mapping[str, Any] | None,
    execute: Callable[[Sequence[Round]], Results],
) -> dict[str, Any]:
    """Train a claim's rounds and return its record.

    Args:
        claim: what is trained.
        preset: how much.
        committed: the claim's full record, if there is one.
        execute: runs rounds, side by side or not, and returns their results in order.
    """
    given = None if preset == "full" or committed is None else chosen(committed["grid"])
    first = grid_rounds(claim, preset, given)
    done = results_of([one for _, one in first], execute)
    grid = grid_rows([(name, one.rate, done[one]["outcomes"]) for name, one in first], given)
    rates, rounds, seeds = chosen(grid), claim.rounds[preset], claim.draws[preset]
    last = {
        arm.name: Round(claim.id, arm.trains or arm.name, rates[arm.name], seeds, rounds.steps) for arm in claim.arms
    }
    done |= results_of(list(last.values()), execute)
    of_seed = [{name: done[one]["outcomes"][seed] for name, one in last.items()} for seed in range(seeds)]
    lines = {name: line for outcome in of_seed[0].values() for name, line in outcome["lines"].items() if len(line) > 1}
    return record_of(
        claim,
        preset,
        [claim.compare(outcomes) for outcomes in of_seed],
        chart={**claim.chart, "lines": lines} if lines else None,
        seconds=sum(result["seconds"] for result in done.values()),
        settings={"steps": rounds.steps, "grid_steps": rounds.grid_steps, "grid_seeds": rounds.grid_seeds},
        grid=grid,
    )


def estimate(claim: Trained, preset: Preset, committed: Mapping[str, Any] | None) -> float:
    """Return about how many seconds :func:`settle` computes here: a few steps of every arm are timed."""
    amount, seeds = claim.rounds[preset], claim.draws[preset]
    steps = claim.rounds["smoke"].steps
    seconds = 0.0
    for arm in claim.arms:
        grid = len(arm.rates) if preset == "full" or committed is None else min(3, len(arm.rates))
        start = time.perf_counter()
        for _ in claim.train(arm.trains or arm.name, arm.rates[0], range(seeds), steps):
            pass
        seconds += (time.perf_counter() - start) / steps * (amount.grid_steps * grid + amount.steps)
    return seconds


def results_of(
    rounds: Sequence[Round], execute: Callable[[Sequence[Round]], Results]
) -> dict[Round, Mapping[str, Any]]:
    """Return each round's result; one that two arms share is run once."""
    different = list(dict.fromkeys(rounds))
    return dict(zip(different, execute(different), strict=True))


def grid_rounds(claim: Trained, preset: Preset, given: Mapping[str, float] | None) -> list[tuple[str, Round]]:
    """Return the rounds, by arm, that decide each arm's rate or, where rates are given, check them."""
    amount = claim.rounds[preset]
    rounds = []
    for arm in claim.arms:
        at = None if given is None else arm.rates.index(given[arm.name])
        rates = arm.rates if at is None else arm.rates[max(0, at - 1) : at + 2]
        name = arm.trains or arm.name
        rounds += [(arm.name, Round(claim.id, name, rate, amount.grid_seeds, amount.grid_steps)) for rate in rates]
    return rounds


def grid_rows(
    cells: Sequence[tuple[str, float, Sequence[Outcome]]], given: Mapping[str, float] | None
) -> list[dict[str, Any]]:
    """Return the grid as :mod:`.grids` has it, from arm, rate and outcomes of each cell.

    An arm's rate is the given one, or else its best.
    """
    rows: list[dict[str, Any]] = [
        {"arm": arm, "rate": rate, "scores": [outcome["score"] for outcome in outcomes]}
        for arm, rate, outcomes in cells
    ]
    rates: Mapping[str, float] = given or {
        of_arm[0]["arm"]: min(of_arm, key=mean_score)["rate"] for of_arm in by_arm(rows)
    }
    return [{**row, "chosen": row["rate"] == rates[row["arm"]]} for row in rows]
