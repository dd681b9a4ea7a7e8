"""What a claim's record says: verdict, reading in plain words, table. Pure functions of the record.

The record carries the ranges beside the values, so that it is judged by itself; a test compares its ranges with those
of the claim.
"""

import re
from collections.abc import Mapping
from typing import Any

from ...reports import Cell, Report, format_cell
from ..judging import Verdict, combine
from .grids import chosen, unsettled

__all__ = ["correction", "holds", "measured", "reading", "table", "verdict"]

Record = Mapping[str, Any]


def verdict(record: Record) -> Verdict:
    """Judge a claim by its record, as :mod:`.base` and :mod:`steadynorm.lab.judging` say.

    With a grid whose rates are not settled (see :mod:`.grids`) it is not resolved.
    """
    if unsettled(record.get("grid", ())) is not None:
        return "not resolved"
    if not all(holds(part) for part in _parts(record, "control")):
        return "not resolved"
    return combine([holds(part) for part in _parts(record, "judged")])


def holds(part: Record) -> bool | None:
    """Say whether a part holds, fails (False), or stays open (None)."""
    values = part["values"]
    if any(value is None for value in values):  # not finite
        return None
    if part["by"] == "every draw":
        return all(_inside(part, value) for value in values)
    if part["interval"] is None:
        return None
    low, high = part["interval"]
    if _inside(part, low) and _inside(part, high):
        return True
    beyond_above = part["at_most"] is not None and low > part["at_most"]
    beyond_below = part["at_least"] is not None and high < part["at_least"]
    return False if beyond_above or beyond_below else None


def measured(record: Record) -> str:
    """Name the quantities judged and what was measured of them, in one line."""
    return "; ".join(f"{part['quantity']}: {_value(part)}" for part in _parts(record, "judged"))


def reading(record: Record) -> str:
    """Say in plain words what was measured and what follows, computed from the record alone."""
    words = {True: "holds", False: "does not hold", None: "stays open"}
    sentences = [
        f"{_capital(part['quantity'])}: {_value(part)}, {_asked(part)}: {words[holds(part)]}."
        for part in (*_parts(record, "control"), *_parts(record, "judged"))
    ]
    if (flaw := unsettled(record.get("grid", ()))) is not None:
        sentences.append(f"Rates are not settled: {flaw}.")
    if (said := correction(record)) is not None:
        sentences.append(said)
    return " ".join([*sentences, f"Verdict: {record['verdict']}."])


def correction(record: Record) -> str | None:
    """Say what holds in place of the sentence, with the values measured; None where it stands, or nothing is known."""
    if record["verdict"] not in ("partly", "refuted") or record["instead"] is None:
        return None
    values = {part["quantity"]: format_cell(part["value"]) for part in record["parts"]}
    return re.sub(r"\{(.*?)\}", lambda named: values[named[1]], record["instead"])


def table(record: Record) -> Report:
    """Return the claim's table: a quantity a row, the literature's number beside ours."""
    draws = record["settings"]["draws"]
    rows: list[dict[str, Cell]] = [
        {
            "quantity": part["quantity"],
            "literature": part["literature"],
            "measured": part["value"],
            "interval or range": _span(part),
            "holds if": "(shown)" if part["role"] == "shown" else _asked(part),
            "holds": "-" if part["role"] == "shown" else {True: "yes", False: "no", None: "open"}[holds(part)],
        }
        for part in record["parts"]
    ]
    notes = [record["protocol"]]
    if draws > 1:
        notes.append(
            f"{draws} draws. Of a mean the 95 % interval stands (Student's t); of what must hold in every draw the "
            "value furthest out, and the range."
        )
    if "grid" in record:
        rates = ", ".join(f"{arm} {rate:g}" for arm, rate in chosen(record["grid"]).items())
        settings = record["settings"]
        notes.append(
            f"{settings['steps']:,} steps; rates: {rates}, each beside its neighbours after "
            f"{settings['grid_steps']:,} steps."
        )
    return Report(
        f"{record['claim']}, measured",
        ("quantity", "literature", "measured", "interval or range", "holds if", "holds"),
        rows,
        notes,
    )


def _parts(record: Record, role: str) -> list[Record]:
    return [part for part in record["parts"] if part["role"] == role]


def _inside(part: Record, value: float) -> bool:
    low, high = part["at_least"], part["at_most"]
    return (low is None or value >= low) and (high is None or value <= high)


def _asked(part: Record) -> str:
    low, high = part["at_least"], part["at_most"]
    if low is not None and high is not None:
        return f"within {low:g} and {high:g}" if low != high else f"exactly {low:g}"
    return f"at least {low:g}" if low is not None else f"at most {high:g}"


def _value(part: Record) -> str:
    span = _span(part)
    return format_cell(part["value"]) + (f" ({span})" if span and part["by"] == "mean" else "")


def _span(part: Record) -> str | None:
    return None if part["interval"] is None else " to ".join(format_cell(end) for end in part["interval"])


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
