"""The page's tables beside its charts: learning-rate grid, settings, recipes, data, environment."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ...reports import Cell, Report, format_cell

__all__ = ["cell", "data", "environment", "grid", "percent", "recipes", "settings"]


def cell(value: Cell) -> str:
    """Write one value of a table."""
    return format_cell(value)


def percent(share: float) -> str:
    """Write a share of one as per cent."""
    return f"{100 * share:.1f} %"


def grid(record: Mapping[str, Any]) -> Report:
    """The search for the baseline's learning rate and initialization."""
    columns = ("initialization", "learning rate", "best validation accuracy", "outcome")
    rows = [
        {
            "initialization": point["initialization"],
            "learning rate": point["learning_rate"],
            "best validation accuracy": percent(point["best_validation_accuracy"]),
            "outcome": point["outcome"],
        }
        for point in record["grid"]
    ]
    return Report("Learning rates tried for the baseline, on validation data", columns, rows)


def settings(record: Mapping[str, Any]) -> Report:
    """The settings of the run."""
    return _pairs("Settings", "setting", {"preset": record["preset"], **record["settings"]})


def data(record: Mapping[str, Any]) -> Report:
    """The data of the run; its note stands below the table."""
    facts = {name: value for name, value in record["data"].items() if name != "note"}
    return _pairs("Data", "property", facts, note=record["data"]["note"])


def environment(record: Mapping[str, Any]) -> Report:
    """The machine and the versions."""
    return _pairs("Environment", "property", {"created": record["created"], **record["environment"]})


def recipes(record: Mapping[str, Any]) -> Report:
    """What each arm trains with: a row a setting, a column an arm."""
    flat = {arm["name"]: dict(_flatten(arm["recipe"])) for arm in record["arms"]}
    keys = dict.fromkeys(key for recipe in flat.values() for key in recipe)
    rows = [{"setting": key, **{name: recipe.get(key) for name, recipe in flat.items()}} for key in keys]
    return Report("Recipe of each arm", ("setting", *flat), rows)


def _pairs(title: str, kind: str, values: Mapping[str, Any], note: str | None = None) -> Report:
    rows = [{kind: name, "value": value} for name, value in _flatten(values)]
    return Report(title, (kind, "value"), rows, (note,) if note else ())


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Cell]]:
    """Yield ``("a.b", 1)`` for ``{"a": {"b": 1}}``; lists become text."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield prefix + name, ", ".join(v if isinstance(v, str) else json.dumps(v) for v in value)
        else:
            yield prefix + name, value
