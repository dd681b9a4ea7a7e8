"""Templates, styles and scripts put into one document."""

from typing import Any

from markupsafe import Markup

import steadynorm

from ..common import COLOURS, asset, template

__all__ = ["fill"]


def fill(name: str, *scripts: str, **values: Any) -> str:
    """Return the document of a template, with the scripts of these names in it."""
    package = "steadynorm.pages.explainer"
    return template(package, name).render(
        colours=COLOURS,
        style=asset(package, "style/page.css") + asset(package, "style/figures.css"),
        script=Markup("\n").join(asset(package, f"script/{script}.js") for script in ("kit", *scripts, "start")),
        version=steadynorm.__version__,
        **values,
    )
