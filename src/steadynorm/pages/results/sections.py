"""A page's tables beside its charts: the grid of rates, and the conditions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

from ...reports import Cell, Report, format_cell

__all__ = ["cell", "details", "environment", "grid", "percent"]

Record = Mapping[str, Any]


def cell(value: Cell) -> str:
    """Write one value of a table."""
    return format_cell(value)


def percent(share: float) -> str:
    """Write a share of one as per cent."""
    return f"{100 * share:.1f} %"


def grid(record: Record) -> Report | None:
    """The search for each arm's rate; None where there was none. Of curves a score is a validation error."""
    if "grid" not in record:
        return None
    accuracies = record["kind"] == "curves"
    score = "best validation accuracy" if accuracies else "score (less is better)"

    def told(row: Record) -> Cell:
        if None in row["scores"]:
            return "diverged"
        mean = fmean(row["scores"])
        return percent(1 - mean) if accuracies else mean

    rows: list[dict[str, Cell]] = [
        {
            "arm": row["arm"],
            **({"initialization": row["initialization"]} if "initialization" in row else {}),
            "learning rate": row["rate"],
            score: told(row),
            **({"outcome": row["outcome"]} if "outcome" in row else {}),
            "taken": row["chosen"],
        }
        for row in record["grid"]
    ]
    return Report("Learning rates tried, on validation data", tuple(rows[0]), rows)


def details(record: Record) -> list[Report]:
    """The settings; of curves also recipes and data; the machine and the versions."""
    tables = [_pairs("Settings", "setting", {"preset": record["preset"], **record["settings"]})]
    if "arms" in record:
        tables.append(_recipes(record))
    if "data" in record:
        facts = {name: value for name, value in record["data"].items() if name != "note"}
        tables.append(_pairs("Data", "property", facts, note=record["data"]["note"]))
    return [*tables, environment(record)]


def environment(record: Record) -> Report:
    """The machine and the versions."""
    return _pairs("Environment", "property", {"created": record["created"], **record["environment"]})


def _recipes(record: Record) -> Report:
    """What each arm trains with: a row a setting, a column an arm."""
    flat = {arm["name"]: dict(_flatten(arm["recipe"])) for arm in record["arms"]}
    keys = dict.fromkeys(key for recipe in flat.values() for key in recipe)
    rows = [{"setting": key, **{name: recipe.get(key) for name, recipe in flat.items()}} for key in keys]
    return Report("Recipe of each arm", ("setting", *flat), rows)


def _pairs(title: str, kind: str, values: Record, note: str | None = None) -> Report:
    rows = [{kind: name, "value": value} for name, value in _flatten(values)]
    return Report(title, (kind, "value"), rows, (note,) if note else ())


def _flatten(values: Record, prefix: str = "") -> Iterator[tuple[str, Cell]]:
    """Yield ``("a.b", 1)`` for ``{"a": {"b": 1}}``; lists become text."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield prefix + name, ", ".join(v if isinstance(v, str) else json.dumps(v) for v in value)
        else:
            yield prefix + name, value
