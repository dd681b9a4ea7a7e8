"""How a chart is drawn: here as a static SVG in two widths, and again by the reader's browser.

A chart is one Vega-Lite specification. Its colours are names of CSS variables, so that one drawing serves light and
dark; each line has a dash pattern of its own beside its colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import vl_convert
from markupsafe import Markup

from ...reports import Report
from ..common import COLOURS, DASHES

__all__ = ["INK", "Figure", "chart_of", "colours_of", "dashes_of", "figure_of", "pointed_at"]

WIDE, NARROW = 920, 328  # pixels: a column of the page, and that of a phone 360 wide
INK, FAINT = "var(--ink)", "var(--rule)"
STYLE: dict[str, Any] = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": FAINT},
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "gridColor": FAINT,
        "domainColor": FAINT,
        "tickColor": FAINT,
        "labelFontSize": 12,
        "titleFontSize": 13,
        "titleFontWeight": "normal",
    },
    "legend": {
        "orient": "bottom",
        "labelColor": INK,
        "labelFontSize": 13,
        "labelLimit": 200,
        "symbolSize": 900,
        "symbolStrokeWidth": 2.4,
        "symbolOpacity": 1,
        "columnPadding": 24,
    },
    "text": {"fontSize": 12, "color": INK},
}


@dataclass(frozen=True)
class Figure:
    """One chart: its words, its drawings, its specification for the browser, and its numbers."""

    title: str
    caption: str
    wide: Markup
    narrow: Markup
    specification: dict[str, Any]
    numbers: Report


def figure_of(title: str, caption: str, chart: alt.TopLevelMixin, numbers: Report) -> Figure:
    """Draw one chart in both widths; the page's script fits the specification to the reader's window."""
    specification: dict[str, Any] = chart.to_dict()
    specification |= {
        "description": caption,
        "config": STYLE,
        "width": "container",
        "autosize": {"type": "fit-x", "contains": "padding"},
    }

    def draw(width: int, ticks: int, columns: int) -> Markup:
        axis, legend = STYLE["axis"] | {"tickCount": ticks}, STYLE["legend"] | {"columns": columns}
        fitted = specification | {"width": width, "config": STYLE | {"axis": axis, "legend": legend}}
        return Markup(vl_convert.vegalite_to_svg(fitted))

    return Figure(title, caption, draw(WIDE, 8, 3), draw(NARROW, 4, 1), specification, numbers)


def chart_of(rows: Sequence[Mapping[str, Any]]) -> alt.Chart:
    """Return a chart of these rows, with nothing drawn yet."""
    return alt.Chart(alt.InlineData(values=list(rows)))


def pointed_at(curves: alt.Chart, *tooltips: alt.Tooltip) -> alt.Chart:
    """Return the points of curves, which nobody sees, large enough to be pointed at for their tooltips."""
    points: alt.Chart = curves.mark_point(size=120, opacity=0).encode(tooltip=list(tooltips))
    return points


def colours_of(names: Sequence[str]) -> alt.Scale:
    """Give each name a colour of its own."""
    return _scale(names, [f"var(--arm-{index})" for index in range(len(COLOURS))])


def dashes_of(names: Sequence[str]) -> alt.Scale:
    """Give each name a pattern of dashes of its own."""
    return _scale(names, DASHES)


def _scale(names: Sequence[str], values: Sequence[Any]) -> alt.Scale:
    """A chart with more names than values begins again."""
    return alt.Scale(domain=list(names), range=[values[index % len(values)] for index in range(len(names))])
