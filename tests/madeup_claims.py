"""Records of claims made up for tests of what reads them: none of their numbers was measured."""

from typing import Any

from steadynorm.lab.claims.base import Part
from steadynorm.lab.claims.measuring import summarize
from steadynorm.lab.claims.reading import reading, verdict


def record_of(*parts: tuple[Part, list[float]], claim: str = "made/up", **changes: Any) -> dict[str, Any]:
    """Return a record with these parts, each with the values of its draws."""
    record: dict[str, Any] = {
        "schema": "steadynorm.claim/1",
        "claim": claim,
        "statement": "A made-up <sentence> & its claim",
        "source": "nobody 2001, Sec. 1",
        "literature": "forty-two",
        "covers": ["S1"],
        "protocol": "Nothing was done.",
        "instead": "It is {size}.",
        "created": "2001-02-03T04:05:06+00:00",
        "preset": "smoke",
        "settings": {"draws": len(parts[0][1]), "first_seed": 0},
        "environment": {"processor": "made up", "packages": {"torch": "9.9"}},
        "parts": [summarize(part, values) for part, values in parts],
        "chart": {
            "title": "A made-up chart",
            "x": "step",
            "y": "height",
            "log_x": True,
            "log_y": False,
            "lines": {"one": [[1.0, 2.0], [10.0, 3.5]], "other": [[1.0, 1.0], [10.0, 1.5]]},
        },
        "seconds": 1.0,
        **changes,
    }
    record["verdict"] = verdict(record)
    record["reading"] = reading(record)
    return record
