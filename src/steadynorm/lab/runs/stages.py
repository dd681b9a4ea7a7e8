"""Work in stages: what is run next may depend on what came of the stage before, and many works go side by side."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from .monitor import Monitor
from .pool import Pool, Run

__all__ = ["Results", "Stage", "Work", "carry_out"]

Results = list[dict[str, Any]]


@dataclass(frozen=True)
class Stage:
    """Jobs that do not depend on one another, with ``further`` steps to expect after them."""

    name: str
    jobs: Sequence[Run]
    further: int = 0


Work = Generator[Stage, Results, dict[str, Any]]
"""Work under way: it yields a stage, is sent the results of its jobs, in order, and returns what it found at last."""


def carry_out(works: Mapping[str, Work], pool: Pool, monitor: Monitor) -> dict[str, dict[str, Any]]:
    """Carry out works side by side, the next stage of each at a time, and return by name what they found."""
    found: dict[str, dict[str, Any]] = {}
    replies: dict[str, Results | None] = dict.fromkeys(works)
    while replies:
        stages: dict[str, Stage] = {}
        for name, reply in replies.items():
            try:
                stages[name] = works[name].send(reply) if reply is not None else next(works[name])
            except StopIteration as end:
                found[name] = end.value
        if not stages:
            break
        jobs = [job for stage in stages.values() for job in stage.jobs]
        title = next(iter(stages.values())).name if len(stages) == 1 else "claims"
        monitor.stage(title, jobs, further=sum(stage.further for stage in stages.values()))
        results = iter(pool.execute(jobs))
        replies = {name: list(islice(results, len(stage.jobs))) for name, stage in stages.items()}
    return found
