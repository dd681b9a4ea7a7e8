"""The templates filled: the whole page, and one figure alone for a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

import steadynorm

from ..results.figures import COLOURS
from .frames import Figure

__all__ = ["frame", "page"]


def page(figures: Sequence[Figure]) -> str:
    """Return the whole page: prose around the figures, in one file that asks for nothing."""
    return _render("page.html", figures={figure.name: figure for figure in figures})


def frame(figure: Figure) -> str:
    """Return one figure as an ``iframe`` that holds its document and fits its height to it."""
    document = html.escape(_render("single.html", figure=figure))
    return (
        f'<iframe title="steadynorm: {figure.name}" srcdoc="{document}" '
        'style="width: 100%; height: 46rem; border: 0"></iframe>'
    )


def _render(template: str, **values: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("steadynorm.pages.explainer", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        colours=COLOURS,
        style=_asset("page.css"),
        script=_asset("figures.js"),
        version=steadynorm.__version__,
        **values,
    )


def _asset(name: str) -> Markup:
    return Markup(files(__package__).joinpath("templates", name).read_text(encoding="utf-8"))
