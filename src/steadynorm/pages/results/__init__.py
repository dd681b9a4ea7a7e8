"""Records made into self-contained pages.

:func:`render` takes a record and its tables and returns HTML that holds everything it shows: styles, charts drawn
twice (a static drawing for print and for readers without scripts, a live one with tooltips), and the numbers of each
chart as a table. No number in it comes from anywhere but the record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import vl_convert
from markupsafe import Markup

from ...reports import Report
from ..common import COLOURS, asset, template
from . import charts, sections

__all__ = ["render"]


@dataclass(frozen=True)
class Section:
    """One claim of a page: its record and its table."""

    record: Mapping[str, Any]
    table: Report

    @property
    def anchor(self) -> str:
        """The section's id in the page."""
        return str(self.record["claim"]).replace("/", "-")

    @cached_property
    def figures(self) -> list[charts.Figure]:
        """Its charts."""
        return charts.of(self.record)

    @property
    def details(self) -> list[Report]:
        """Under which conditions it was measured."""
        return sections.details(self.record)


def render(
    record: Mapping[str, Any],
    tables: Mapping[str, Report],
    corrections: Mapping[str, str],
    article: Collection[str] = (),
) -> str:
    """Return the page of one claim, or the page that gathers those of a run of claims.

    Args:
        record: as ``result.json`` holds it.
        tables: the table of each claim, shown beside its charts, by id.
        corrections: of the article, by reading alone: what is said in place of it, by number.
        article: the claims that the page of ``steadynorm explain`` cites, each linked to its place there.

    Returns:
        A whole HTML document, about 1 MB, most of it the chart library.
    """
    told = [Section(one, tables[one["claim"]]) for one in record.get("records", [record])]
    if record["kind"] != "claims":
        return _fill(
            "page.html", title=record["statement"], section=told[0], grid=sections.grid(record), article=article
        )
    counts = Counter(str(section.record["verdict"]) for section in told)
    tally = ", ".join(f"{counts[verdict]} {verdict}" for verdict in sorted(counts))
    rows = [{"number": number, "correction": text} for number, text in corrections.items()]
    return _fill(
        "claims.html",
        title="Claims about batch normalization, settled",
        tally=tally[:1].upper() + tally[1:],
        sections=told,
        article=article,
        corrections=Report("Corrections of the article", ("number", "correction"), rows),
        environment=sections.environment(told[0].record),
    )


def _fill(name: str, **values: object) -> str:
    return template(__name__, name).render(
        **values,
        cell=sections.cell,
        colours=COLOURS,
        style=asset("steadynorm.pages", "templates/page.css"),
        script=asset(__name__, "templates/page.js"),
        chart_library=_chart_library(),
    )


@cache
def _chart_library() -> Markup:
    """Vega, Vega-Lite and Vega-Embed in one script (two seconds to put together, so once a process)."""
    return Markup(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", r"<\/script"))
