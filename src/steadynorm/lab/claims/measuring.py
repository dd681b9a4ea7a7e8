"""From a claim to its record: the draws, their summary, the verdict."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from scipy import stats

from ... import kernels
from ..records import CLAIM_SCHEMA, environment
from . import registry
from .base import Claim, Part, Preset, Stated
from .reading import reading, verdict

__all__ = ["Measuring", "measure", "record_of"]


@dataclass(frozen=True)
class Measuring:
    """The measuring of one claim, as a run for the :class:`~steadynorm.lab.pool.Pool`."""

    id: str
    preset: Preset

    @property
    def steps(self) -> int:
        """The number of draws."""
        return registry.DRAWN[self.id].draws[self.preset]

    def run(
        self, state_file: Path, *, stopped: Callable[[], bool], report: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any] | None:
        """Return the record; None when stopped between two draws, which then are drawn again, since they are short."""
        return measure(registry.DRAWN[self.id], self.preset, stopped=stopped, report=report)


def measure(
    claim: Claim,
    preset: Preset,
    *,
    stopped: Callable[[], bool] = lambda: False,
    report: Callable[[dict[str, Any]], None] = lambda line: None,
) -> dict[str, Any] | None:
    """Measure a claim and return its record; None if it was stopped."""
    start = time.perf_counter()
    draws: list[Mapping[str, float]] = []
    for seed in range(claim.draws[preset]):
        if stopped():
            return None
        draws.append(claim.measure(seed))
        report({"run": claim.id, "step": seed + 1})
    return record_of(claim, preset, draws, chart=_chart(claim), seconds=time.perf_counter() - start)


def record_of(
    claim: Stated,
    preset: Preset,
    draws: Sequence[Mapping[str, float]],
    *,
    chart: Mapping[str, Any] | None,
    seconds: float,
    settings: Mapping[str, Any] = MappingProxyType({}),
    **further: object,
) -> dict[str, Any]:
    """Return a claim's record over its draws, with ``further`` entries, and judge it."""
    record: dict[str, Any] = {
        "schema": CLAIM_SCHEMA,
        "claim": claim.id,
        "statement": claim.statement,
        "source": claim.source,
        "literature": claim.literature,
        "covers": list(claim.covers),
        "protocol": claim.protocol,
        "instead": claim.instead,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "preset": preset,
        "settings": {"draws": len(draws), "first_seed": 0, **settings},
        "environment": environment(processes=1, threads_a_process=torch.get_num_threads(), kernels=kernels.status()),
        "parts": [summarize(part, [draw[part.quantity] for draw in draws]) for part in claim.parts],
        "chart": chart,
        "seconds": round(seconds, 3),
        **further,
    }
    record["verdict"] = verdict(record)
    record["reading"] = reading(record)
    return record


def summarize(part: Part, values: Sequence[float]) -> dict[str, Any]:
    """Return the record's account of a part: the values, one for all, and an interval or a range."""
    if not all(map(math.isfinite, values)):
        told = [value if math.isfinite(value) else None for value in values]
        return {**asdict(part), "values": told, "value": None, "interval": None}
    several = len(values) > 1
    if part.by == "mean":
        value, interval = math.fsum(values) / len(values), _interval(values) if several else None
    else:
        value = max(values, key=lambda v: _outside(part, v))
        interval = [min(values), max(values)] if several and min(values) < max(values) else None
    return {**asdict(part), "values": list(values), "value": value, "interval": interval}


def _outside(part: Part, value: float) -> float:
    """How far a value lies outside of the range; inside, minus the way to the nearer end."""
    return max(
        -math.inf if part.at_least is None else part.at_least - value,
        -math.inf if part.at_most is None else value - part.at_most,
    )


def _interval(values: Sequence[float]) -> list[float]:
    error = float(stats.sem(values))
    mean = math.fsum(values) / len(values)
    if error == 0:
        return [mean, mean]
    low, high = stats.t.interval(0.95, len(values) - 1, loc=mean, scale=error)
    return [float(low), float(high)]


def _chart(claim: Claim) -> dict[str, Any] | None:
    if claim.chart is None:
        return None
    told = {name: getattr(claim.chart, name) for name in ("title", "x", "y", "log_x", "log_y")}
    lines = {name: [[float(x), float(y)] for x, y in line] for name, line in claim.chart.draw().items()}
    return {**told, "lines": lines}
