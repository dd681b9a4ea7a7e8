"""Claims about trainings: arms, each with a grid of rates of its own, and seeds that are paired.

The preset ``full`` trains every rate of an arm's grid for the steps after which rates are compared, with some of the
seeds, and then the best rate with all seeds to the end. The others take the rate from the committed record and train it
beside its two neighbours; with no such record they have the whole grid before them, too. Either way the record holds
the grid, and a claim is not resolved unless the rate taken is better than both of its neighbours.
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..records import Record
from ..runs.grids import chosen, marked
from ..runs.options import Options, Preset
from ..runs.pool import Task
from ..runs.stages import Stage, Work
from .claim import Plan, Planned
from .parts import Measured

__all__ = ["Arm", "Outcome", "Rounds", "Trained", "Training", "descend"]

Outcome = Mapping[str, Any]
"""Of one seed: ``score`` (lower is better; None if it diverged), ``values`` by name, ``lines`` by name."""

Training = Generator[int, None, list[Outcome]]
"""A training under way: it yields the step where it is, now and then, and returns an outcome a seed."""


@dataclass(frozen=True)
class Arm:
    """One way to train, and the rates to choose from, upwards; a single one if the claim is about that rate.

    Args:
        name: of the arm.
        rates: its grid.
        trains: the arm of which this is another rate, by the name that ``train`` knows; None for itself.
    """

    name: str
    rates: tuple[float, ...]
    trains: str | None = None


@dataclass(frozen=True)
class Rounds:
    """How much a preset trains: steps after which rates are compared, steps to the end, seeds that compare rates."""

    grid_steps: int
    steps: int
    grid_seeds: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained(Measured):
    """A claim about trainings; its draws are seeds.

    Args:
        arms: the ways to train that are compared.
        rounds: how much, by preset.
        train: trains an arm, by its name, at a rate, with seeds side by side, for a number of steps.
        compare: the values of one draw from the outcomes of all arms with its seed, by arm.
        chart: title, x, y, log_x and log_y of the picture; its lines are those of the first seed.
    """

    kind: ClassVar[str] = "trained"

    arms: tuple[Arm, ...]
    rounds: Mapping[Preset, Rounds]
    train: Callable[[str, float, Sequence[int], int], Training]
    compare: Callable[[Mapping[str, Outcome]], Mapping[str, float]]
    chart: Mapping[str, Any]

    def settings(self, options: Options) -> dict[str, Any]:
        """Seeds and steps."""
        return {"draws": self.draws[options.preset], "first_seed": 0, **asdict(self.rounds[options.preset])}

    def plan(self, options: Options, committed: Record | None) -> Plan:
        """A few steps of every arm are timed."""
        amount, seeds, steps = self.rounds[options.preset], self.draws[options.preset], self.rounds["smoke"].steps
        cells = self._cells(options.preset, committed)
        comparing = finishing = 0.0
        for arm in self.arms:
            start = time.perf_counter()
            for _ in self.train(arm.trains or arm.name, arm.rates[0], range(seeds), steps):
                pass
            a_step = (time.perf_counter() - start) / steps
            comparing += a_step * amount.grid_steps * sum(tried == arm for tried, _ in cells)
            finishing += a_step * amount.steps
        return Plan(
            [
                Planned("rates compared", len(cells), len(cells) * amount.grid_steps, comparing),
                Planned("arms trained", len(self.arms), len(self.arms) * amount.steps, finishing),
            ]
        )

    def work(self, options: Options, committed: Record | None) -> Work:
        """The grid, then every arm at its rate."""
        amount, seeds = self.rounds[options.preset], range(self.draws[options.preset])
        cells = self._cells(options.preset, committed)
        first = [self._task(arm, rate, range(amount.grid_seeds), amount.grid_steps) for arm, rate in cells]
        compared = yield Stage("grid", first, further=len(self.arms) * amount.steps)
        rows = [
            {"arm": arm.name, "rate": rate, "scores": [outcome["score"] for outcome in done["result"]]}
            for (arm, rate), done in zip(cells, compared, strict=True)
        ]
        grid = marked(rows, self._given(options.preset, committed))
        last = [self._task(arm, chosen(grid)[arm.name], seeds, amount.steps) for arm in self.arms]
        finished = yield Stage("arms", last)

        outcomes = {arm.name: done["result"] for arm, done in zip(self.arms, finished, strict=True)}
        of_seeds = [{name: of_arm[seed] for name, of_arm in outcomes.items()} for seed in seeds]
        lines = {name: line for one in of_seeds[0].values() for name, line in one["lines"].items() if len(line) > 1}
        seconds = {task.id: done["seconds"] for task, done in zip([*first, *last], [*compared, *finished], strict=True)}
        return {
            "settings": self.settings(options),
            "grid": grid,
            "parts": self.summaries([self.compare(of_seed) for of_seed in of_seeds]),
            "charts": [{**self.chart, "lines": lines}] if lines else [],
            "seconds": sum(seconds.values()),
        }

    def _given(self, preset: Preset, committed: Record | None) -> dict[str, float] | None:
        """Return each arm's rate, where it is not to be looked for."""
        return None if preset == "full" or committed is None else chosen(committed["grid"])

    def _cells(self, preset: Preset, committed: Record | None) -> list[tuple[Arm, float]]:
        """Return arms and rates, of the whole grid or, where rates are given, of these and their neighbours."""
        given, cells = self._given(preset, committed), []
        for arm in self.arms:
            at = None if given is None else arm.rates.index(given[arm.name])
            rates = arm.rates if at is None else arm.rates[max(0, at - 1) : at + 2]
            cells += [(arm, rate) for rate in rates]
        return cells

    def _task(self, arm: Arm, rate: float, seeds: range, steps: int) -> Task:
        name = arm.trains or arm.name
        id = f"{self.id}/{name}-{rate:g}-{len(seeds)}x{steps}"
        return Task(id, steps, partial(self.train, name, rate, seeds, steps))


def descend(loss: Tensor, parameters: Sequence[Tensor], rate: float) -> None:
    """Move the parameters, in place, by one step of plain gradient descent."""
    slopes = torch.autograd.grad(loss, parameters)
    with torch.no_grad():
        for parameter, slope in zip(parameters, slopes, strict=True):
            parameter.sub_(rate * slope)
