"""The sources: ``references.bib``, read once for the page and for the tests of the docstrings."""

import re
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from ...errors import ArgumentError

__all__ = ["Source", "read"]

FILE = "references.bib"


class Source(NamedTuple):
    """One entry of the bibliography."""

    key: str
    kind: str
    fields: dict[str, str]

    @property
    def authors(self) -> list[tuple[str, str]]:
        """First names and family name of each author."""
        names = [name.partition(", ") for name in self.fields["author"].split(" and ")]
        return [(first, family) for family, _, first in names]

    @property
    def label(self) -> str:
        """How the text cites it: Ioffe & Szegedy 2015; Hoffer, Hubara & Soudry 2017; Yang et al. 2019."""
        family = [name for _, name in self.authors]
        several = f"{', '.join(family[:-1])} & {family[-1]}" if len(family) > 1 else family[0]
        return f"{family[0] + ' et al.' if len(family) > 3 else several} {self.fields['year']}"

    @property
    def venue(self) -> str:
        """Where and when it was published."""
        place = next((self.fields[name] for name in ("booktitle", "journal", "institution") if name in self.fields), "")
        arxiv = f"arXiv:{self.fields['eprint']}" if "eprint" in self.fields else self.fields.get("note", "")
        return ", ".join(filter(None, (place, self.fields["year"], arxiv)))

    @property
    def names(self) -> str:
        """The authors with the initials of their first names."""
        return ", ".join(f"{' '.join(part[0] + '.' for part in first.split())} {last}" for first, last in self.authors)


def read() -> dict[str, Source]:
    """Return every entry by its key, from beside this file in the wheel, from the top of a checkout.

    Raises: ArgumentError for an entry without author, title or year.
    """
    beside = files(__package__).joinpath(FILE)
    text = (beside if beside.is_file() else Path(__file__).parents[4] / FILE).read_text(encoding="utf-8")
    sources = {}
    for kind, key, body in re.findall(r"^@(\w+)\{(\w+),\n(.*?)^\}", text, re.MULTILINE | re.DOTALL):
        fields = dict(re.findall(r"^\s*(\w+)\s*=\s*\{(.*)\},?$", body, re.MULTILINE))
        absent = {"author", "title", "year"} - fields.keys()
        if absent:
            raise ArgumentError(f"an entry of {FILE} must have author, title and year; {key} has no {absent.pop()}")
        sources[key] = Source(key, kind, fields)
    return sources
