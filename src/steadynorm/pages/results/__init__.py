"""A record of the ladder made into one self-contained page.

:func:`render` takes the record and its table and returns HTML that holds everything it shows: styles, charts drawn
twice (a static drawing for print and for readers without scripts, a live one with tooltips), and the numbers of each
chart as a table. No number in it comes from anywhere but the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup

from ...reports import Report
from . import figures, sections

__all__ = ["render"]


def render(record: Mapping[str, Any], table: Report) -> str:
    """Return the page of one record.

    Args:
        record: a record of the ladder, as ``result.json`` holds it.
        table: the record's table of arms, shown beside the figures.

    Returns:
        A whole HTML document, about 1 MB, most of it the chart library.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("steadynorm.pages.results", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["cell"] = sections.cell
    return environment.get_template("page.html").render(
        record=record,
        table=table,
        figures=[figures.accuracy_against_steps(record), figures.steps_to_target(record)],
        grid=sections.grid(record),
        details=[
            sections.settings(record),
            sections.recipes(record),
            sections.data(record),
            sections.environment(record),
        ],
        colours=figures.COLOURS,
        style=_asset("page.css"),
        script=_asset("page.js"),
        chart_library=_chart_library(),
    )


def _asset(name: str) -> Markup:
    return Markup(files(__package__).joinpath("templates", name).read_text(encoding="utf-8"))


@cache
def _chart_library() -> Markup:
    """Vega, Vega-Lite and Vega-Embed in one script (two seconds to put together, so once a process)."""
    return Markup(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", r"<\/script"))
