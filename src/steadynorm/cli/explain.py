"""``steadynorm explain``: the page of the figures."""

from __future__ import annotations

import re
import sys
import webbrowser
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from .command import Command, OutputFile, Switch
from .exits import DONE

__all__ = ["ExplainCommand"]


@dataclass(frozen=True, kw_only=True)
class ExplainCommand(Command):
    """Write a page that explains batch normalization in figures to be dragged, and open it in a browser.

    The page is one file that works offline. Its numbers are computed now, by this package. Where a report.html of
    ``steadynorm reproduce`` lies beside it, the page links each claim to its part there.

    Examples:

      steadynorm explain                                        explainer.html, here
      steadynorm explain -o page.html --no-open
      steadynorm explain --record runs/ladder-digits/*/result.json   your own run in the ladder's figure
    """

    output: OutputFile = None
    """Write the page here instead of to explainer.html."""
    record: Annotated[Path | None, tyro.conf.arg(metavar="RUN", help_behavior_hint="")] = None
    """A run directory or record of the ladder to draw instead of the one that comes with the package."""
    no_open: Switch = False
    """Only write the page."""

    def run(self) -> int:
        """Write the page, print where it is, and open it."""
        from ..files import write_beside
        from ..lab.catalogue import committed_records
        from ..lab.records import load_record
        from ..pages.explainer import render

        print("computing the figures: some seconds", file=sys.stderr)
        file = self.output or Path("explainer.html")
        records = committed_records()
        report = _report(file.with_name("report.html"), records)
        page = render(records, load_record(self.record) if self.record else None, report)
        write_beside(file, lambda beside: beside.write_text(page, encoding="utf-8"))
        print(file)
        if not self.no_open and not webbrowser.open(file.resolve().as_uri()):
            print(f"steadynorm: there is no browser to open it with; open {file} yourself", file=sys.stderr)
        return DONE


def _report(file: Path, claims: Iterable[str]) -> dict[str, str]:
    """Return where a report tells of each claim, by id; nothing when there is none."""
    anchors = set(re.findall(r'<section id="([\w-]+)">', file.read_text(encoding="utf-8"))) if file.exists() else set()
    return {id: f"{file.name}#{anchor}" for id in claims if (anchor := id.replace("/", "-")) in anchors}
