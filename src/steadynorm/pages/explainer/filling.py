"""Templates, styles and scripts put into one document."""

from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

import steadynorm

from ..common import COLOURS

__all__ = ["fill"]


def fill(template: str, *scripts: str, **values: Any) -> str:
    """Return the document of a template, with the scripts of these names in it."""
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
        script=Markup("\n").join(_asset(f"script/{name}.js") for name in ("kit", *scripts, "start")),
        version=steadynorm.__version__,
        **values,
    )


def _asset(path: str) -> Markup:
    return Markup(files(__package__).joinpath(path).read_text(encoding="utf-8"))
