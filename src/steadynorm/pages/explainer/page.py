"""The whole page: the story around the figures, and the claims that it cites."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from . import story
from .facts import all_facts
from .filling import fill
from .frames import Figure
from .letters import LETTERS

__all__ = ["page"]

Record = Mapping[str, Any]


def page(figures: Sequence[Figure], records: Mapping[str, Record], report: Mapping[str, str]) -> str:
    """Return the whole page in one file that asks for nothing."""
    named = {figure.name: figure for figure in figures}
    teller = story.Page(records, all_facts(figures), named)
    parts = story.parts(teller)
    cited = {id: {**records[id], "sentences": _sentences(records[id])} for id in dict.fromkeys(teller.claims)}
    return fill(
        "page.html",
        *named,
        "reading",
        parts=parts,
        claims=cited,
        report=report,
        verdicts=Counter(record["verdict"] for record in cited.values()),
        marks=story.MARKS,
        letters=Markup(json.dumps({key: letter.meaning for key, letter in LETTERS.items()}, ensure_ascii=False)),
        sources=[teller.sources[key] for key in sorted(set(teller.cited), key=lambda key: teller.sources[key].label)],
    )


def _sentences(record: Record) -> list[str]:
    """The reading sentence by sentence, without its last, which repeats the verdict."""
    sentences = re.split(r"(?<=\.) (?=[^a-z])", record["reading"])
    return [sentence for sentence in sentences if not sentence.startswith("Verdict:")]
