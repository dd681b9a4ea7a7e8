"""The story of batch normalization, told twice from one source: here for the page, in :mod:`.document` as Markdown.

Each part is a Markdown file in ``templates/story/``, in the order of the names. Beside Markdown, a part may call:

========================================  ==============================================================================
``{{ label("Drift") }}``                  what the contents call the part
``{{ covers("S1") }}``                    which parts of the material it tells
``{{ claim("saturation/slopes") }}``      the verdict on the sentence before it, from the committed record
``{{ told("Yang et al.") }}``             that the sentence before it was only reported, and by whom
``{{ equation(2) }}``                     a numbered equation; ``{{ eq(2) }}`` names it
``{% call figure("bias") %}``             a figure, with one thing to try; ``{{ fig("bias") }}`` names it
``{% call note() %}``                     what only experts need, in the margin
``{% call correction("E4") %}``           an error of the literature, where it belongs
``{{ cite("ioffe2015batch") }}``          a source, by its key in ``references.bib``
``{{ measured("bias/scaling", "…") }}``   a number from a record; ``facts`` has those of the figures and of the text
``{{ see("why", "later") }}``             another part of the story
``{{ doc("tools/fold.md", "`fold`") }}``  where the package does it
``{{ live("saturation", "mean", "…") }}``  a number that follows a figure
========================================  ==============================================================================

Emphasis that holds no word is mathematics: ``*γ*``, ``*∂ℓ/∂b*``; its letters light up when one is touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from html import escape as html_escape
from importlib.resources import files
from typing import Any

import jinja2
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markupsafe import Markup, escape

from ...reports import Report
from ..common import template
from . import bibliography
from .cube import METHODS, cube
from .equations import EQUATIONS
from .frames import Figure
from .letters import LETTERS, is_mathematics, mark
from .names import NAMES
from .numerals import scientific

__all__ = ["MARKS", "Body", "Page", "Part", "Record", "Teller", "parts", "texts", "told_by"]

Record = Mapping[str, Any]
Body = Callable[[], str]

#: How a verdict is marked, beside its word.
MARKS = {"confirmed": "✓", "partly": "◐", "refuted": "✕", "not resolved": "?"}


@dataclass(frozen=True)
class Part:
    """A part of the story, ready for the page."""

    id: str
    title: Markup
    label: str
    html: Markup
    covers: tuple[str, ...]


_words = partial(html_escape, quote=False)  # Markdown obeys markup


@dataclass
class Teller:
    """What both tellings share: the numbers, and a list of what a part has named so far."""

    records: Mapping[str, Record]
    facts: Mapping[str, Any]
    sources: Mapping[str, bibliography.Source] = field(default_factory=bibliography.read)
    labels: list[str] = field(default_factory=list)
    covered: list[str] = field(default_factory=list)
    claims: list[str] = field(default_factory=list)
    cited: list[str] = field(default_factory=list)
    corrected: list[str] = field(default_factory=list)

    def label(self, text: str) -> str:
        """Note what the contents call the part."""
        self.labels.append(text)
        return ""

    def covers(self, *parts: str) -> str:
        """Note which parts of the material are told here."""
        self.covered += parts
        return ""

    def measured(self, id: str, quantity: str, digits: str = ".3g") -> str:
        """Return the value that a record has for a quantity of its claim."""
        values = {part["quantity"]: part["value"] for part in self.records[id]["parts"]}
        value = values[" ".join(quantity.split())]
        text = format(value, digits)
        return scientific(value) if "e" in text else text.replace("-", "−")

    def paper_table(self) -> str:
        """What the paper reports of its ladder, as a table."""
        rows = self.facts["ladder"]["paper"]
        return f"\n\n{Report('', tuple(rows[0]), rows).to_markdown()}\n\n"

    def readings(self) -> str:
        """What came of our ladders, a table each; a record of the reader's own may hold any words."""
        told = []
        for one in self.facts["ladder"]["readings"]:
            rows = [{name: _words(cell) for name, cell in row.items()} for row in one["rows"]]
            table = Report("", tuple(rows[0]), rows).to_markdown()
            told += [f"**{_words(one['head'])}**", table, _words(one["rest"])]
        return "\n\n" + "\n\n".join(told) + "\n\n"

    def names(self) -> dict[str, Any]:
        """What a part may call."""
        own = (name for name in dir(self) if not name.startswith("_"))
        return {name: getattr(self, name) for name in own}


class Page(Teller):
    """The telling of the page: HTML around and inside of Markdown."""

    def __init__(self, records: Mapping[str, Record], facts: Mapping[str, Any], figures: Mapping[str, Figure]) -> None:
        super().__init__(records, facts)
        self._figures = figures
        self._blocks: list[str] = []
        self._markdown = MarkdownIt("commonmark", {"html": True}).enable("table")
        self._markdown.core.ruler.push("letters", _mark_letters)
        self._markdown.add_render_rule("fence", _scrollable)
        self._markdown.add_render_rule("table_open", lambda *_: '<div class="scroll" tabindex="0"><table>\n')
        self._markdown.add_render_rule("table_close", lambda *_: "</table></div>\n")

    def _block(self, html: str) -> str:
        """Keep a block out of Markdown's hands until :meth:`_html` puts it back."""
        self._blocks.append(html)
        return f"\n\n⟦{len(self._blocks) - 1}⟧\n\n"

    def _html(self, text: str) -> str:
        html: str = self._markdown.render(text)
        return re.sub(r"<p>⟦(\d+)⟧</p>\n", lambda found: self._blocks[int(found[1])], html)

    def _template(self, name: str, **values: Any) -> str:
        return self._block(template("steadynorm.pages.explainer", name).render(**values))

    def claim(self, id: str) -> str:
        self.claims.append(id)
        verdict = self.records[id]["verdict"]
        kind, anchor = verdict.replace(" ", "-"), id.replace("/", "-")
        said = f' id="said-{anchor}"' if self.claims.count(id) == 1 else ""
        return (
            f'<button type="button"{said} class="verdict {kind}" popovertarget="reading-{anchor}">'
            f'<span class="unseen">Claim: </span><span aria-hidden="true">{MARKS[verdict]}</span> {verdict}</button>'
        )

    def told(self, by: str) -> str:
        title = f"reported by {escape(by)}, not measured by this package"
        return f'<span class="verdict told" title="{title}">reported</span>'

    def equation(self, number: int) -> str:
        return self._template("equation.html", number=number, equation=EQUATIONS[number], letters=LETTERS)

    def eq(self, number: int) -> str:
        return f'<a href="#eq-{number}">Eq {number}</a>'

    def figure(self, name: str, caller: Body) -> str:
        number, attempt = NAMES.index(name) + 1, Markup(self._html(caller()))
        return self._template("figure.html", figure=self._figures[name], number=number, attempt=attempt)

    def fig(self, name: str) -> str:
        return f'<a href="#figure-{name}">Figure {NAMES.index(name) + 1}</a>'

    def note(self, caller: Body) -> str:
        return self._block(f'<aside class="note">{self._html(caller())}</aside>')

    def correction(self, number: str, caller: Body) -> str:
        self.corrected.append(number)
        head = '<p class="head">Often told</p>'
        return self._block(f'<aside class="note correction" id="{number}">{head}{self._html(caller())}</aside>')

    def cube(self) -> str:
        return self._template("cube.html", methods=METHODS, cube=cube)

    def cite(self, key: str) -> str:
        self.cited.append(key)
        return f'<a class="cite" href="#ref-{key}">{escape(self.sources[key].label)}</a>'

    def see(self, part: str, text: str) -> str:
        return f'<a href="#part-{part}">{text}</a>'

    def doc(self, path: str, text: str) -> str:
        return text

    def live(self, figure: str, name: str, text: str) -> str:
        return f'<span class="live-number" data-live="{figure}.{name}">{text}</span>'


def parts(page: Page) -> list[Part]:
    """Tell the story for the page."""
    told = []
    for name, text in texts():
        page.covered.clear()
        html = page._html(told_by(page, text))
        title, _, rest = html.partition("</h2>\n")
        title = Markup(title.removeprefix("<h2>"))
        told.append(Part(f"part-{name}", title, page.labels[-1], Markup(rest), tuple(page.covered)))
    return told


def texts() -> list[tuple[str, str]]:
    """The name and text of every part, in order: 03-transform.md is the part ``transform``."""
    folder = files(__package__).joinpath("templates", "story")
    found = sorted((file.name, file.read_text(encoding="utf-8")) for file in folder.iterdir())
    return [(name.removesuffix(".md").partition("-")[2], text) for name, text in found if name.endswith(".md")]


def cited() -> set[str]:
    """Return the claims that the story cites; where the page first does, there is an anchor ``said-…``."""
    return {id for _, text in texts() for id in re.findall(r'claim\("([^"]+)"\)', text)}


def told_by(teller: Teller, text: str) -> str:
    """Fill one part: its text is Markdown, so nothing is escaped."""
    part = jinja2.Template(text, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return str(part.render(teller.names()))


def _scrollable(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    """A block of code that the keyboard can scroll."""
    return f'<pre tabindex="0" role="region" aria-label="code"><code>{escape(tokens[index].content)}</code></pre>\n'


def _mark_letters(state: StateCore) -> None:
    """Write each emphasis that holds mathematics as letters that can be touched."""
    for block in state.tokens:
        children: Sequence[Token] = block.children or ()
        marked: list[Token] = []
        for token in children:
            marked.append(token)
            kinds = [one.type for one in marked[-3:]]
            if kinds == ["em_open", "text", "em_close"] and is_mathematics(marked[-2].content):
                marked[-3:] = [Token("html_inline", "", 0, content=mark(marked[-2].content))]
        if block.children is not None:
            block.children = marked
