"""Docstrings as Markdown: their equations, references and lead words, for mkdocstrings."""

import re
from typing import Any

import griffe
from tools.site.reference import names

MATH = re.compile(r"^( *)\.\. math:: *(.*(?:\n\1 +\S.*)*)", re.MULTILINE)
INLINE = re.compile(r":math:`([^`]+)`")
ROLE = re.compile(r":(?:class|func|meth|data|mod|attr|obj):`([^`]+)`")
EXAMPLE = re.compile(r"^( *)>>> .*(?:\n\1\S.*)*", re.MULTILINE)
LEAD = re.compile(r"^(Reference|Differs(?: from [\w' ]+)?|Shape|Numerics|Raises|Returns|Letters):(?= )", re.MULTILINE)


class Markdown(griffe.Extension):
    """Rewrite each docstring before it is parsed."""

    def __init__(self) -> None:
        self.called = names()
        self.paths = {path.rpartition(".")[2]: path for path in self.called}

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Griffe calls this for each object that it has loaded."""
        if obj.docstring:
            obj.docstring.value = self.markdown(obj.docstring.value)

    def markdown(self, text: str) -> str:
        """Return a docstring with ``.. math::`` as TeX between dollars, roles as links, and its lead words in bold."""
        text = re.sub(r"^ *::$", "", text.replace("``", "`"), flags=re.MULTILINE)
        text = MATH.sub(lambda found: f"{found[1]}$$\n{found[1]}{_lines(found[2])}\n{found[1]}$$", text)
        text = EXAMPLE.sub(lambda found: f"{found[1]}```pycon\n{found[0]}\n{found[1]}```", text)
        text = INLINE.sub(r"$\1$", text)
        text = ROLE.sub(lambda found: self._reference(found[1]), text)
        return LEAD.sub(r"**\1.**", text)

    def _reference(self, name: str) -> str:
        short = name.removeprefix("~").rpartition(".")[2]
        path = name if name in self.called else self.paths.get(short)
        return f"[`{self.called[path]}`][{path}]" if path else f"`{short}`"


def _lines(equation: str) -> str:
    aligned = "\\\\" in equation and "\\begin" not in equation
    tex = re.sub(r"\s*\n\s*", " ", equation.strip())
    return rf"\begin{{aligned}} {tex} \end{{aligned}}" if aligned else tex
