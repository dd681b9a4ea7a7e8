"""How results reach a reader: tables on stdout, report files."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from ..reports import Report

__all__ = ["is_interactive", "print_json", "print_report", "print_told", "print_written", "verdicts", "write_report"]


def is_interactive(stream: TextIO) -> bool:
    """Say whether a person watches this stream on a terminal that can redraw."""
    return stream.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


def print_json(value: object) -> None:
    """Print one JSON document, strict: no NaN, no infinity."""
    print(json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False))


def print_report(report: Report) -> None:
    """Print a table; on a terminal too narrow for it in blocks of columns, the first column at the head of each."""
    if not is_interactive(sys.stdout):
        print(report)
        return
    width = shutil.get_terminal_size().columns
    print("\n".join(textwrap.wrap(report.title, width)))
    for columns in _blocks(report, width):
        print(_body(report, columns), end="\n\n")
    for note in report.notes:
        print("\n".join(textwrap.wrap(note, width)))


def print_told(told: Any) -> None:
    """Print what a tool found: on a terminal as a table whose sentences are wrapped, else as its text."""
    if is_interactive(sys.stdout):
        from rich.console import Console

        Console().print(told)
    else:
        print(told, end="\n\n")


def print_written(file: Path, *, json: bool = False) -> None:
    """Say which file was written; beside a JSON document on stderr."""
    print(f"wrote {file}", file=sys.stderr if json else None)


def _body(report: Report, columns: Sequence[str]) -> str:
    """Return some columns of a table as text."""
    rows = [{name: row[name] for name in columns if name in row} for row in report.rows]
    return str(Report("", columns, rows)).lstrip("\n")


def _blocks(report: Report, width: int) -> list[list[str]]:
    """Deal the columns out to as few blocks as fit the width, in order."""
    key, *others = report.columns
    blocks = [[key]]
    for name in others:
        wider = [*blocks[-1], name]
        if len(wider) > 2 and max(map(len, _body(report, wider).splitlines())) > width:
            wider = [key, name]
            blocks.append(wider)
        blocks[-1] = wider
    return blocks


def write_report(record: Mapping[str, Any], *files: Path) -> None:
    """Make the page of a record, of whatever kind, and write it to each file, whole or not at all."""
    from ..files import write_beside
    from ..lab.catalogue import BY_READING, claim_of
    from ..pages.explainer.story import cited
    from ..pages.results import render

    tables = {one["claim"]: claim_of(one).table(one) for one in record.get("records", [record])}
    page = render(record, tables, BY_READING, cited())
    for file in files:
        write_beside(file, lambda beside: beside.write_text(page, encoding="utf-8"))


def verdicts(records: Sequence[Mapping[str, Any]]) -> Report:
    """Return a table of verdicts, a claim a row."""
    from ..lab.catalogue import claim_of

    rows = [
        {"claim": one["claim"], "verdict": one["verdict"], "measured": claim_of(one).measured(one)} for one in records
    ]
    return Report("Verdicts", ("claim", "verdict", "measured"), rows)
