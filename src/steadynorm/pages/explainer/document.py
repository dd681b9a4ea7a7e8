"""The story as ``docs/article.md``: Markdown throughout, made from the files of the page (:mod:`.story`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from . import bibliography
from .equations import EQUATIONS
from .names import NAMES
from .story import Body, Record, Teller, texts, told_by

__all__ = ["document"]


def document(records: Mapping[str, Record], facts: Mapping[str, Any]) -> str:
    """Tell the story as one Markdown document, with its sources."""
    teller = Document(records, facts)
    told = [f'<a id="part-{name}"></a>\n\n{told_by(teller, text).strip()}' for name, text in texts()]
    sources = [f'<a id="{key}"></a>{_reference(teller.sources[key])}' for key in sorted(set(teller.cited))]
    text = "\n\n".join(["# Batch normalization, explained", _PREFACE, *told, "## Sources", *sources]) + "\n"
    return re.sub(r"\n{3,}", "\n\n", text)


_PREFACE = (
    "The text of the page that `steadynorm explain` writes, without its figures; made from the same files by "
    "`make docs-text`. Numbers come from the library or from the records in `results/`. A verdict behind a "
    "sentence links to what was measured: confirmed, refuted, or partly, where a claim holds within limits. Boxes "
    "correct what is often told; E1 to E18 number these corrections. The docstrings cite the equations by the "
    "numbers that they have here."
)


def _reference(source: bibliography.Source) -> str:
    return f"{source.names}. *{source.fields['title']}*. {source.venue}."


class Document(Teller):
    """The telling of ``docs/article.md``: Markdown throughout."""

    def claim(self, id: str) -> str:
        theme, _, name = id.partition("/")
        self.claims.append(id)
        address = f"claims/{theme}.md#{name}" if name else "claims/README.md"
        return f" \\[[{self.records[id]['verdict']}]({address})\\]"

    def told(self, by: str) -> str:
        return f" \\[reported by {by}\\]"

    def equation(self, number: int) -> str:
        lines = " \\\\\n".join(rf"{formula.latex} && \text{{{words}}}" for formula, words in EQUATIONS[number].lines)
        return f"\n\n$$\n\\begin{{aligned}}\n{lines}\n\\end{{aligned}}\n\\tag{{{number}}}\n$$\n\n"

    def eq(self, number: int) -> str:
        return f"Eq {number}"

    def figure(self, name: str, caller: Body) -> str:
        head = f'**{self.fig(name)}**, on the page that `steadynorm explain` writes, or `sn.figure("{name}")`.'
        return _quoted(f"{head} {caller().strip()}")

    def fig(self, name: str) -> str:
        return f"Figure {NAMES.index(name) + 1}"

    def note(self, caller: Body) -> str:
        return _quoted(f"*Note.* {caller().strip()}")

    def correction(self, number: str, caller: Body) -> str:
        self.corrected.append(number)
        return _quoted(f"**Often told ({number}).** {caller().strip()}")

    def cube(self) -> str:
        return ""

    def cite(self, key: str) -> str:
        self.cited.append(key)
        return f"[{self.sources[key].label}](#{key})"

    def see(self, part: str, text: str) -> str:
        return f"[{text}](#part-{part})"

    def doc(self, path: str, text: str) -> str:
        return f"[{text}]({path})"

    def live(self, figure: str, name: str, text: str) -> str:
        return text


def _quoted(text: str) -> str:
    return "\n\n" + "\n".join(f"> {line}".rstrip() for line in text.splitlines()) + "\n\n"
