"""Parts: measured quantities, each with the range in which a claim's sentence holds of it.

A part is measured in *draws*, each of a seed of its own, and judged

* over ``"every draw"``, for what is exact: it holds if every value lies in the range, and fails otherwise;
* by the ``"mean"``, for what varies: it holds if the 95 % interval of the mean (Student's t) lies wholly inside of the
  range, fails if it lies wholly outside, and stays open otherwise, as it does for a single draw.

A part may instead be a *control*, without which the others mean nothing (if one does not hold, the claim is not
resolved), or only *shown*. The record carries the ranges beside the values, so that it is judged by itself; a test
compares its ranges with those of the claim.
"""

import math
import re
from abc import ABC
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Literal

from ...reports import Cell, Report, format_cell
from ..records import Record
from ..runs.grids import chosen, unsettled
from ..runs.options import Preset
from .claim import Claim
from .judging import Judgement, Role

__all__ = ["Draws", "Measured", "Part", "correction", "holds", "summarize"]

Judged = Literal["every draw", "mean"]
Draws = Mapping[Preset, int]


@dataclass(frozen=True)
class Part:
    """One quantity of a claim.

    Args:
        quantity: its name, by which it is returned by what measures it; words that stand in tables.
        at_least, at_most: the sentence holds where the quantity lies between them; None for no such end.
        literature: the number that the literature gives for it, or None.
        by: see the module.
        role: see the module.
    """

    quantity: str
    at_least: float | None = None
    at_most: float | None = None
    literature: float | None = None
    by: Judged = "every draw"
    role: Role = "judged"


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured(Claim, ABC):
    """A claim that is judged by parts.

    Args:
        parts: the reading.
        draws: how many, by preset; the seeds are 0, 1, …
    """

    parts: tuple[Part, ...]
    draws: Draws

    def summaries(self, draws: Sequence[Mapping[str, float | None]]) -> list[dict[str, Any]]:
        """Return the record's account of each part."""
        return [summarize(part, [draw[part.quantity] for draw in draws]) for part in self.parts]

    def judgements(self, record: Record) -> Iterator[Judgement]:
        """Each part; and that the rates are settled (see :mod:`steadynorm.lab.runs.grids`) where there is a grid."""
        yield Judgement("control", unsettled(record.get("grid", ())) is None)
        yield from (Judgement(part["role"], holds(part)) for part in record["parts"])

    def reading(self, record: Record) -> str:
        """The parts that count, one after the other, and what is to be said instead of the sentence."""
        words = {True: "holds", False: "does not hold", None: "stays open"}
        sentences = [
            f"{_capital(part['quantity'])}: {_value(part)}, {_asked(part)}: {words[holds(part)]}."
            for role in ("control", "judged")
            for part in _of(record, role)
        ]
        if (flaw := unsettled(record.get("grid", ()))) is not None:
            sentences.append(f"Rates are not settled: {flaw}.")
        if (said := correction(record)) is not None:
            sentences.append(said)
        return " ".join([*sentences, f"Verdict: {record['verdict']}."])

    def measured(self, record: Record) -> str:
        """The quantities judged."""
        return "; ".join(f"{part['quantity']}: {_value(part)}" for part in _of(record, "judged"))

    def table(self, record: Record) -> Report:
        """A quantity a row."""
        columns = ("quantity", "literature", "measured", "interval or range", "holds if", "holds")
        rows = [_row(part) for part in record["parts"]]
        return Report(f"{record['claim']}, measured", columns, rows, list(_notes(record)))


def summarize(part: Part, values: Sequence[float | None]) -> dict[str, Any]:
    """Return the record's account of a part: the values, one for all, and an interval or a range.

    What is not finite, or None, is None there; then there is no value for all.
    """
    told = [value if value is not None and math.isfinite(value) else None for value in values]
    finite = [value for value in told if value is not None]
    value, interval = (None, None) if len(finite) < len(told) else _summary(part, finite)
    return {**asdict(part), "values": told, "value": value, "interval": interval}


def _summary(part: Part, values: Sequence[float]) -> tuple[float, list[float] | None]:
    several = len(values) > 1
    if part.by == "mean":
        return fmean(values), _interval(values) if several else None
    ends = [min(values), max(values)]
    return max(values, key=lambda value: _outside(part, value)), ends if several and ends[0] < ends[1] else None


def _outside(part: Part, value: float) -> float:
    """How far a value lies outside of the range; inside, minus the way to the nearer end."""
    return max(
        -math.inf if part.at_least is None else part.at_least - value,
        -math.inf if part.at_most is None else value - part.at_most,
    )


def _interval(values: Sequence[float]) -> list[float]:
    from scipy import stats

    error, mean = float(stats.sem(values)), fmean(values)
    if error == 0:
        return [mean, mean]
    low, high = stats.t.interval(0.95, len(values) - 1, loc=mean, scale=error)
    return [float(low), float(high)]


def holds(part: Record) -> bool | None:
    """Say whether a part of a record holds, fails (False), or stays open (None)."""
    values = part["values"]
    if None in values:  # not finite
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


def correction(record: Record) -> str | None:
    """Say what holds in place of the sentence, with the values measured; None where it stands, or nothing is known."""
    if record["verdict"] not in ("partly", "refuted") or record["instead"] is None:
        return None
    values = {part["quantity"]: format_cell(part["value"]) for part in record["parts"]}
    return re.sub(r"\{(.*?)\}", lambda named: values[named[1]], record["instead"])


def _row(part: Record) -> dict[str, Cell]:
    shown = part["role"] == "shown"
    return {
        "quantity": part["quantity"],
        "literature": part["literature"],
        "measured": part["value"],
        "interval or range": _span(part),
        "holds if": "(shown)" if shown else _asked(part),
        "holds": "-" if shown else {True: "yes", False: "no", None: "open"}[holds(part)],
    }


def _notes(record: Record) -> Iterator[str]:
    settings = record["settings"]
    yield record["protocol"]
    if settings["draws"] > 1:
        yield (
            f"{settings['draws']} draws. Of a mean the 95 % interval stands (Student's t); of what must hold in every "
            "draw the value furthest out, and the range."
        )
    if "grid" in record:
        rates = ", ".join(f"{arm} {rate:g}" for arm, rate in chosen(record["grid"]).items())
        yield (
            f"{settings['steps']:,} steps; rates: {rates}, each beside its neighbours after "
            f"{settings['grid_steps']:,} steps."
        )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _of(record: Record, role: str) -> list[Record]:
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
