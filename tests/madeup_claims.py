"""Records of claims made up for tests of what reads them: none of their numbers was measured."""

from typing import Any

from steadynorm.lab.claim import Drawn, Part

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
    draws = [dict(zip((part.quantity for part, _ in parts), row, strict=True)) for row in zip(*(v for _, v in parts))]
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
