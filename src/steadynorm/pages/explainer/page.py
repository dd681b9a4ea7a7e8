"""The templates filled: the whole page, and one figure alone for a notebook."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from markupsafe import Markup

import steadynorm

from ..results.figures import COLOURS
from . import story
from .facts import all_facts
from .frames import Figure
from .letters import LETTERS

__all__ = ["frame", "page"]

Record = Mapping[str, Any]


def page(figures: Sequence[Figure], records: Mapping[str, Record]) -> str:
    """Return the whole page: the story around the figures, and the claims that it cites, in one file that asks for
    nothing."""
    named = {figure.name: figure for figure in figures}
    teller = story.Page(records, all_facts(figures), named)
    parts = story.parts(teller)
    cited = {id: records[id] for id in dict.fromkeys(teller.claims)}
    return _render(
        "page.html",
        script=_script(*named, "reading"),
        parts=parts,
        claims=cited,
        verdicts=Counter(record["verdict"] for record in cited.values()),
        marks=story.MARKS,
        letters=Markup(json.dumps({key: letter.meaning for key, letter in LETTERS.items()}, ensure_ascii=False)),
        sources=[teller.sources[key] for key in sorted(set(teller.cited), key=lambda key: teller.sources[key].label)],
    )


def frame(figure: Figure) -> str:
    """Return one figure as an ``iframe`` that holds its document and fits its height to it."""
    document = html.escape(_render("single.html", script=_script(figure.name), figure=figure))
    return (
        f'<iframe title="steadynorm: {figure.name}" srcdoc="{document}" '
        'style="width: 100%; height: 46rem; border: 0"></iframe>'
    )


def _render(template: str, **values: Any) -> str:
    environment = story.environment(autoescape=True)
    environment.filters["sentences"] = _sentences
    return environment.get_template(template).render(
        colours=COLOURS,
        style=_asset("style/page.css") + _asset("style/figures.css"),
        version=steadynorm.__version__,
        **values,
    )


def _sentences(text: str) -> list[str]:
    """A reading sentence by sentence, without its last, which repeats the verdict."""
    return [sentence for sentence in re.split(r"(?<=\.) (?=[^a-z])", text) if not sentence.startswith("Verdict:")]


def _script(*names: str) -> Markup:
    return Markup("\n").join(_asset(f"script/{name}.js") for name in ("kit", *names, "start"))


def _asset(path: str) -> Markup:
    return Markup(files(__package__).joinpath(path).read_text(encoding="utf-8"))
