"""A diagnosis made into a self-contained page: findings, the gap layer by layer, and each layer's two distributions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...reports import Cell, Report, format_cell
from ..common import COLOURS, asset, template

__all__ = ["render"]

LEAST, MOST = 5.0, 50.0
"""How many standard deviations a drawing shows on either side, at least and at most."""
POINTS = 81
WIDTH, HEIGHT = 240, 90
MOST_LAYERS = 12
"""So many are named of a finding that more share."""


@dataclass(frozen=True)
class Drawing:
    """One layer: its data normalized by their own statistics, and by the running ones."""

    name: str
    sentence: str
    own: str
    running: str


@dataclass(frozen=True)
class Bar:
    """One layer's share of the gap."""

    name: str
    length: float
    share: float
    cause: str
    fix: str


def render(diagnosis: Any, gap: Any, name: str) -> str:
    """Return the page of one model.

    Args:
        diagnosis: a ``steadynorm.doctor`` Diagnosis.
        gap: what ``explain_gap`` returned; None if no metric was given.
        name: of the model, for the title.
    """
    layers = sorted(diagnosis.layers, key=lambda layer: -float(layer["d"]))
    return template(__name__, "page.html").render(
        name=name,
        diagnosis=diagnosis,
        gap=gap,
        bars=_bars(gap) if gap else [],
        drawings=[_drawing(layer) for layer in layers],
        table=_table(layers),
        cell=format_cell,
        most=MOST_LAYERS,
        width=WIDTH,
        height=HEIGHT,
        colours=COLOURS,
        style=asset("steadynorm.pages", "templates/page.css"),
        more_style=asset(__name__, "templates/diagnosis.css"),
    )


def _bars(gap: Any) -> list[Bar]:
    """Return the shares, each with its length in per cent of the largest; all other layers last."""
    shares = [(one.name, one.share, one.cause, one.fix) for one in gap.shares]
    if shares and gap.rest:
        shares.append(("all other layers", gap.rest, "", ""))
    largest = max((abs(share) for _, share, *_ in shares), default=1.0)
    return [Bar(name, 100 * abs(share) / largest, share, cause, fix) for name, share, cause, fix in shares]


def _drawing(layer: Mapping[str, Any]) -> Drawing:
    """Draw what comes out of a layer: the mixture of its features, each a normal distribution."""
    data, running = layer["data"], layer["running"]
    floor = 1e-12
    features = [
        ((m - r) / math.sqrt(max(rv, floor)), math.sqrt(max(v, floor) / max(rv, floor)))
        for m, v, r, rv in zip(data["mean"], data["var"], running["mean"], running["var"], strict=True)
    ]
    reach = min(max(LEAST, *(abs(mean) + 2 * deviation for mean, deviation in features)), MOST)
    xs = [reach * (2 * i / (POINTS - 1) - 1) for i in range(POINTS)]
    own = [_normal(x, 0.0, 1.0) for x in xs]
    seen = [sum(_normal(x, *feature) for feature in features) / len(features) for x in xs]
    top = max(2 * max(own), min(max(seen), 4 * max(own)))
    sentence = (
        f"{layer['layer']}: d = {format_cell(layer['d'])}, largest mean shift "
        f"{format_cell(layer['largest mean shift in σ'])} σ, largest variance ratio "
        f"{format_cell(layer['largest variance ratio'])}; from −{reach:.0f} to {reach:.0f}"
    )
    return Drawing(layer["layer"], sentence, _path(own, top), _path(seen, top))


def _normal(x: float, mean: float, deviation: float) -> float:
    return math.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))


def _path(values: Sequence[float], top: float) -> str:
    points = (
        f"{WIDTH * i / (len(values) - 1):.1f},{HEIGHT * (1 - min(value / top, 1.0)):.1f}"
        for i, value in enumerate(values)
    )
    return "M" + "L".join(points)


def _table(layers: Sequence[Mapping[str, Any]]) -> Report:
    columns = ("layer", "d", "noise of d", "largest mean shift in σ", "largest variance ratio")
    rows: list[dict[str, Cell]] = [{name: layer[name] for name in columns} for layer in layers]
    return Report("Running statistics beside those of the data", columns, rows)
