"""Still pictures for print and for readers without scripts: Vega-Lite, drawn once, colours by name of CSS variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import vl_convert
from markupsafe import Markup
from torch import Tensor

__all__ = ["BLUE", "INK", "ORANGE", "QUIET", "draw", "rows"]

# The page's own: orange and dashed without batch norm, blue with it.
INK, QUIET, RULE = "var(--ink)", "var(--quiet)", "var(--rule)"
ORANGE, BLUE = "var(--without)", "var(--with)"

_STYLE: dict[str, Any] = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": QUIET,
        "titleColor": INK,
        "gridColor": RULE,
        "domainColor": QUIET,
        "tickColor": QUIET,
        "labelFontSize": 13,
        "titleFontSize": 13,
        "titleFontWeight": "normal",
        "grid": False,
    },
    "text": {"fontSize": 13, "color": INK},
}


def rows(**columns: Tensor | Sequence[Any]) -> alt.Chart:
    """Begin a chart of inline data, a keyword a column; numbers to five digits, which is finer than a pixel."""
    lists = {name: column.tolist() if isinstance(column, Tensor) else list(column) for name, column in columns.items()}
    values = [
        {name: float(f"{cell:.5g}") if isinstance(cell, float) else cell for name, cell in zip(lists, row, strict=True)}
        for row in zip(*lists.values(), strict=True)
    ]
    return alt.Chart(alt.InlineData(values=values))


def draw(chart: alt.TopLevelMixin) -> Markup:
    """Return a chart as SVG."""
    return Markup(vl_convert.vegalite_to_svg(chart.to_dict() | {"config": _STYLE}))
