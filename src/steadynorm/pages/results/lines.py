"""The chart of a claim: lines over one axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt

from ...reports import Cell, Report, format_cell
from .figures import DASHES, Figure, chart_of, figure_of, scale_of, variables

__all__ = ["lines"]


def lines(chart: Mapping[str, Any]) -> Figure:
    """Draw the chart of a claim's record."""
    names = list(chart["lines"])
    rows = [{"line": name, "x": x, "y": y} for name, line in chart["lines"].items() for x, y in line]
    x = alt.X("x:Q", title=chart["x"], scale=_axis(chart["log_x"]), axis=alt.Axis(labelFlush=True))
    y = alt.Y("y:Q", title=chart["y"], scale=_axis(chart["log_y"]))
    legend = None if len(names) == 1 else alt.Undefined
    base = chart_of(rows).encode(x=x, y=y)
    drawn = alt.layer(
        base.mark_line(strokeWidth=2.4).encode(
            color=alt.Color("line:N", title=None, scale=scale_of(names, variables()), legend=legend),
            strokeDash=alt.StrokeDash("line:N", title=None, scale=scale_of(names, DASHES), legend=legend),
        ),
        # Points that nobody sees, large enough to be pointed at, carry the tooltips.
        base.mark_point(size=120, opacity=0).encode(
            tooltip=[
                alt.Tooltip("line:N"),
                alt.Tooltip("x:Q", title=chart["x"], format=".4"),
                alt.Tooltip("y:Q", title=chart["y"], format=".4"),
            ]
        ),
    )
    return figure_of(
        chart["title"],
        f"{chart['title']}: {chart['y']} against {chart['x']}" + ("." if len(names) == 1 else f", {', '.join(names)}."),
        drawn.properties(height=260),
        Report(f"{chart['title']}, in numbers", (chart["x"], *names), _rows(chart)),
    )


def _axis(logarithmic: bool) -> alt.Scale:
    return alt.Scale(type="log", nice=False) if logarithmic else alt.Scale(zero=False)


def _rows(chart: Mapping[str, Any]) -> list[dict[str, Cell]]:
    """A row an x, at most forty of them."""
    values = {name: dict(map(tuple, line)) for name, line in chart["lines"].items()}
    xs = sorted({x for line in values.values() for x in line})
    every = -(-len(xs) // 40)
    return [
        {chart["x"]: format_cell(x), **{name: line[x] for name, line in values.items() if x in line}}
        for x in xs[::every]
    ]
