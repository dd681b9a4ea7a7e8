"""Still pictures for print and for readers without scripts: Vega-Lite, drawn once, colours by name of CSS variable."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import altair as alt
import vl_convert
from markupsafe import Markup
from torch import Tensor

__all__ = ["BLUE", "INK", "ORANGE", "QUIET", "draw", "lean", "rows"]

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
    """Return a chart as SVG, at about a third of the size that Vega writes: the page has one for every figure."""
    return lean(vl_convert.vegalite_to_svg(chart.to_dict() | {"config": _STYLE}))


def lean(svg: str) -> Markup:
    """Leave out what the page says itself (roles and labels, fonts), what draws nothing, and digits below a pixel."""
    root = ElementTree.fromstring(svg)
    _strip(root)
    return Markup(_LONG.sub(_short, ElementTree.tostring(root, encoding="unicode")))


_SVG = "http://www.w3.org/2000/svg"
ElementTree.register_namespace("", _SVG)
_LONG = re.compile(r"(?<=[ \",(a-zA-Z-])\d*\.\d{2,}")
_SAID = re.compile(r"aria-|font-|role$|class$|pointer-events$|version$")
_DEFAULTS = {"opacity": "1", "stroke-width": "1", "transform": "translate(0,0)"}


def _strip(element: ElementTree.Element) -> None:
    for name, value in list(element.items()):
        if _SAID.match(name) or _DEFAULTS.get(name) == value:
            del element.attrib[name]
    for child in list(element):
        _strip(child)
        tag = child.tag.removeprefix(f"{{{_SVG}}}")
        nothing = not len(child) if tag == "g" else tag == "path" and not {"fill", "stroke"} & set(child.attrib)
        if nothing:
            element.remove(child)
        elif tag == "g" and not child.attrib:  # a group that says nothing gives its children to its parent
            place = list(element).index(child)
            element[place : place + 1] = list(child)


def _short(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")
