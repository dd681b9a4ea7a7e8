"""The templates filled: the whole page, and one figure alone for a notebook."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

import steadynorm

from ..common import COLOURS
from .frames import Figure

__all__ = ["frame", "page"]


def page(figures: Sequence[Figure], claims: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the whole page: prose around the figures, and the claims it cites, in one file that asks for nothing."""
    named = {figure.name: figure for figure in figures}
    return _render("page.html", script=_script(*named), figures=named, claims=claims)


def frame(figure: Figure) -> str:
    """Return one figure as an ``iframe`` that holds its document and fits its height to it."""
    document = html.escape(_render("single.html", script=_script(figure.name), figure=figure))
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
        style=_asset("templates/page.css"),
        version=steadynorm.__version__,
        **values,
    )


def _script(*names: str) -> Markup:
    return Markup("\n").join(_asset(f"script/{name}.js") for name in ("kit", *names, "start"))


def _asset(path: str) -> Markup:
    return Markup(files(__package__).joinpath(path).read_text(encoding="utf-8"))
