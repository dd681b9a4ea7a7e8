"""Records of version 0.1 read as today's: there were three schemas then, and a mean curve was drawn, not recorded."""

from collections.abc import Mapping
from typing import Any

from .curves import complete, mean_curve

__all__ = ["RENAMED", "SCHEMA", "upgraded"]

#: Ids of claims that have another name now.
RENAMED = {"statistics/test-variance": "statistics/variance-at-test"}

SCHEMA = "steadynorm.record/2"


def upgraded(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as :mod:`.records` has it; one that is no old record comes back as it is."""
    old = record.get("schema")
    if old == "steadynorm.claims/1":
        return {**record, "schema": SCHEMA, "kind": "claims", "records": [upgraded(one) for one in record["records"]]}
    if old == "steadynorm.claim/1":
        return _measured(record)
    return _ladder(record) if old == "steadynorm.record/1" else dict(record)


def _measured(record: Mapping[str, Any]) -> dict[str, Any]:
    """A claim that was measured in draws or trained: it had one chart or none."""
    kept = {name: value for name, value in record.items() if name != "chart"}
    return kept | {
        "schema": SCHEMA,
        "kind": "trained" if "grid" in record else "drawn",
        "claim": RENAMED.get(record["claim"], record["claim"]),
        "charts": [] if record["chart"] is None else [record["chart"]],
    }


def _ladder(record: Mapping[str, Any]) -> dict[str, Any]:
    """The ladder: its grid had accuracies, its arms no mean curve, and what the claim says of itself was left out."""
    settings, arms = record["settings"], record["arms"]
    steps = sorted({step for arm in arms for seed in arm["seeds"] for step, _ in seed["curve"]})
    chance = 1 / record["data"]["classes"]
    chosen = settings["initialization"], settings.get("learning_rate", arms[0]["learning_rate"])
    return dict(record) | {
        "schema": SCHEMA,
        "kind": "curves",
        "literature": "ratios of 2.3 with batch norm, and of 14.8 at five times the rate; sigmoids train",
        "covers": ["S12", "S13", "S14"],
        "protocol": "That of version 0.1: a grid for the baseline, all arms, seeds paired, at multiples of its rate.",
        "instead": None,
        "grid": [
            {
                "arm": arms[0]["name"],
                "initialization": cell["initialization"],
                "rate": cell["learning_rate"],
                "scores": [1 - cell["best_validation_accuracy"]],
                "outcome": cell["outcome"],
                "chosen": (cell["initialization"], cell["learning_rate"]) == chosen,
            }
            for cell in record["grid"]
        ],
        "arms": [
            {
                **arm,
                "recipe": {("rate_multiplier" if name == "rate" else name): v for name, v in arm["recipe"].items()},
                "curve": mean_curve([complete(seed["curve"], steps, chance) for seed in arm["seeds"]], steps),
            }
            for arm in arms
        ],
        "seconds": round(sum(seed["seconds"] for arm in arms for seed in arm["seeds"]), 3),
    }
