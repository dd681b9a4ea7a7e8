"""Many claims in one page: a table of verdicts, and a section each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...reports import Report
from . import figures, sections
from .filling import fill
from .lines import lines

__all__ = ["Section", "render_claims"]


@dataclass(frozen=True)
class Section:
    """One claim of the page: its record, the literature's number, the parts that it covers, its table."""

    record: Mapping[str, Any]
    literature: str
    covers: Sequence[str]
    table: Report

    @property
    def anchor(self) -> str:
        """The section's id in the page."""
        return str(self.record["claim"]).replace("/", "-")

    @cached_property
    def figures(self) -> list[figures.Figure]:
        """Its charts: none, the record's own, or the ladder's."""
        if "arms" in self.record:
            return [figures.accuracy_against_steps(self.record), figures.steps_to_target(self.record)]
        return [lines(self.record["chart"])] if self.record["chart"] else []


def render_claims(sections_: Sequence[Section], corrections: Mapping[str, str]) -> str:
    """Return the page of these claims.

    Args:
        sections_: in the order of the page, at least one.
        corrections: of the article, by reading alone: what is said in place of it, by number.

    Returns:
        A whole HTML document that needs nothing else.
    """
    counts = Counter(str(section.record["verdict"]) for section in sections_)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in sorted(counts))
    rows = [{"number": number, "correction": text} for number, text in corrections.items()]
    return fill(
        "claims.html",
        title="Claims about batch normalization, settled",
        tally=told[:1].upper() + told[1:],
        sections=sections_,
        corrections=Report("Corrections of the article", ("number", "correction"), rows),
        environment=sections.environment(sections_[0].record),
    )
