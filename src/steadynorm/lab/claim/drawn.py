"""Claims that are measured in draws of seconds."""

import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import torch

from ..records import Record
from ..runs.options import Options
from ..runs.pool import Task
from ..runs.stages import Stage, Work
from .claim import Plan, Planned
from .parts import Draws, Measured

__all__ = ["EXACT", "NOISY", "Chart", "Drawn", "Line", "generator", "relative"]

Line = Sequence[tuple[float, float]]

EXACT: Draws = {"smoke": 1, "quick": 5, "full": 20}
NOISY: Draws = {"smoke": 2, "quick": 10, "full": 30}


@dataclass(frozen=True)
class Chart:
    """A picture of a claim: lines over one axis, by name; drawn from one draw."""

    title: str
    x: str
    y: str
    draw: Callable[[], Mapping[str, Line]]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn(Measured):
    """A claim that is measured in draws: each is a function of its seed.

    Args:
        measure: the values of one draw, by quantity; all randomness from the given seed.
        chart: a picture, where one says it better.
    """

    kind: ClassVar[str] = "drawn"

    draws: Draws = field(default_factory=lambda: EXACT)
    measure: Callable[[int], Mapping[str, float]]
    chart: Chart | None = None

    def settings(self, options: Options) -> dict[str, Any]:
        """The number of draws."""
        return {"draws": self.draws[options.preset], "first_seed": 0}

    def plan(self, options: Options, committed: Record | None) -> Plan:
        """One draw is timed."""
        draws, start = self.draws[options.preset], time.perf_counter()
        self.measure(0)
        return Plan([Planned("draws", 1, draws, (time.perf_counter() - start) * draws)])

    def work(self, options: Options, committed: Record | None) -> Work:
        """All draws in one run, since they are short."""
        draws = self.draws[options.preset]
        (drawn,) = yield Stage("draws", [Task(self.id, draws, partial(self.draw, draws))])
        return {
            "settings": self.settings(options),
            "parts": self.summaries(drawn["result"]["draws"]),
            "charts": drawn["result"]["charts"],
            "seconds": drawn["seconds"],
        }

    def draw(self, count: int) -> Generator[int, None, dict[str, Any]]:
        """Take so many draws, and then the chart; a value that is not finite is told as None."""
        draws: list[dict[str, float | None]] = []
        for seed in range(count):
            values = self.measure(seed)
            draws.append({name: value if math.isfinite(value) else None for name, value in values.items()})
            yield seed + 1
        return {"draws": draws, "charts": [_drawn(self.chart)] if self.chart else []}


def _drawn(chart: Chart) -> dict[str, Any]:
    lines = {name: [[float(x), float(y)] for x, y in line] for name, line in chart.draw().items()}
    return {name: getattr(chart, name) for name in ("title", "x", "y", "log_x", "log_y")} | {"lines": lines}


def generator(seed: int) -> torch.Generator:
    """Return a generator of its own for one draw."""
    return torch.Generator().manual_seed(seed)


def relative(value: Any, reference: Any) -> float:
    """Return the largest difference of two tensors over the reference's largest magnitude."""
    return float(((value - reference).abs().max() / reference.abs().max()).detach())
