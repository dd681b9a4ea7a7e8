"""Records of claims made up for tests of what reads them: none of their numbers was measured."""

from collections.abc import Callable
from typing import Any

from steadynorm.lab.claim import Claim, Drawn, Part
from steadynorm.lab.runs.options import Options

CHART = {
    "title": "A made-up chart",
    "x": "step",
    "y": "height",
    "log_x": True,
    "log_y": False,
    "lines": {"one": [[1.0, 2.0], [10.0, 3.5]], "other": [[1.0, 1.0], [10.0, 1.5]]},
}


def claim_of(*parts: Part, id: str = "made/up") -> Drawn:
    """Return a claim with these parts."""
    return Drawn(
        id=id,
        order=1,
        statement="A made-up <sentence> & its claim",
        source="nobody 2001, Sec. 1",
        literature="forty-two",
        covers=("S1",),
        protocol="Nothing was done.",
        instead="It is {size}.",
        parts=parts,
        measure=lambda seed: {},
    )


def record_of(*parts: tuple[Part, list[float]], claim: str = "made/up", **changes: Any) -> dict[str, Any]:
    """Return a record with these parts, each with the values of its draws."""
    made = claim_of(*(part for part, _ in parts), id=claim)
    draws = [
        dict(zip((part.quantity for part, _ in parts), row, strict=True))
        for row in zip(*(v for _, v in parts), strict=True)
    ]
    found = {
        "settings": {"draws": len(draws), "first_seed": 0},
        "parts": made.summaries(draws),
        "charts": [CHART],
        "seconds": 1.0,
        **({"kind": "trained"} if "grid" in changes else {}),
        **changes,
    }
    environment = {"processor": "made up", "packages": {"torch": "9.9"}}
    return made.record(found, preset="smoke", created="2001-02-03T04:05:06+00:00", environment=environment)


def settled(
    claim: Claim,
    preset: str,
    committed: dict[str, Any] | None = None,
    *,
    done: list[Any] | None = None,
    report: Callable[[dict[str, Any]], None] = lambda line: None,
) -> dict[str, Any]:
    """Run a claim here, its jobs one after the other, noted in ``done``, and return its record."""
    options = Options(preset)
    work, reply = claim.work(options, committed), None
    while True:
        try:
            stage = work.send(reply)
        except StopIteration as end:
            told = {"preset": preset, "created": "2001-02-03T04:05:06+00:00", "environment": {}}
            return claim.record(end.value, **told)
        jobs = {job.id: job for job in stage.jobs}
        results = {id: job.run(None, stopped=lambda: False, report=report) for id, job in jobs.items()}
        if done is not None:
            done.extend(jobs.values())
        reply = [results[job.id] for job in stage.jobs]
