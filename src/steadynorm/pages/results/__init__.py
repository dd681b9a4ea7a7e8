"""A record of the ladder made into one self-contained page.

:func:`render` takes the record and its table and returns HTML that holds everything it shows: styles, charts drawn
twice (a static drawing for print and for readers without scripts, a live one with tooltips), and the numbers of each
chart as a table. No number in it comes from anywhere but the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...reports import Report
from . import figures, sections
from .filling import fill

__all__ = ["render"]


def render(record: Mapping[str, Any], table: Report) -> str:
    """Return the page of one record.

    Args:
        record: a record of the ladder, as ``result.json`` holds it.
        table: the record's table of arms, shown beside the figures.

    Returns:
        A whole HTML document, about 1 MB, most of it the chart library.
    """
    return fill(
        "page.html",
        title=record["statement"],
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
    )
