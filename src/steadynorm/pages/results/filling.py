"""Templates filled: what all pages of records share, their style, scripts and chart library."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import jinja2
import vl_convert
from markupsafe import Markup

from . import figures, sections

__all__ = ["fill"]


def fill(template: str, **values: object) -> str:
    """Return a page: one of the templates with these values, which must be all that it asks for."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("steadynorm.pages.results", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        **values,
        cell=sections.cell,
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
