"""What all pages share: colours, dashes, and the way that templates are filled."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import jinja2
from markupsafe import Markup

__all__ = ["COLOURS", "DASHES", "asset", "template"]

# (light, dark): hues of the Okabe-Ito palette, darkened or lightened to a contrast of 3 or more on either background.
COLOURS = (
    ("#4d4d4d", "#c9c9c9"),
    ("#0067a6", "#5cb8ff"),
    ("#c24e00", "#ff9a57"),
    ("#007a59", "#35cf9f"),
    ("#a3478b", "#ec9ad6"),
    ("#846100", "#e3bb3f"),
    ("#6a51c4", "#b3a2ff"),
    ("#a61c3c", "#ff8fa3"),
)
DASHES = ([1, 0], [9, 3], [2, 3], [9, 3, 2, 3], [5, 3], [14, 4], [2, 2, 6, 2], [1, 2])


@cache
def _environment(package: str) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(package, "templates"), jinja2.PackageLoader(__package__, "templates")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def template(package: str, name: str) -> jinja2.Template:
    """Return a template of a package's folder ``templates``, or of the one that all pages share.

    A value that it asks for and is not given is an error.
    """
    return _environment(package).get_template(name)


def asset(package: str, name: str) -> Markup:
    """Return a file of a package as it is, to stand in a page."""
    return Markup(files(package).joinpath(name).read_text(encoding="utf-8"))
