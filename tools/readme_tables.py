"""Write README's measured tables from the committed records, between ``<!-- table:NAME -->`` and ``<!-- /table -->``.

The record of table NAME is ``results/NAME.json``. A table whose record is not there yet stays empty; a record of the
ladder that README has no place for is an error, so that no result is left out unseen.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steadynorm.lab.ladder import table
from steadynorm.lab.records import load_record
from steadynorm.reports import Report, format_cell

ROOT = Path(__file__).resolve().parents[1]
PLACE = re.compile(r"(?<=<!-- table:)(?P<name>[\w-]+) -->\n.*?(?=<!-- /table -->)", re.DOTALL)


def fill(text: str, records: Mapping[str, Mapping[str, Any]]) -> str:
    """Return README's text with every table written anew from its record, by name."""
    lost = set(records) - {place["name"] for place in PLACE.finditer(text)}
    if lost:
        raise SystemExit(f"README must have a place for each record, received none for {', '.join(sorted(lost))}")
    return PLACE.sub(lambda place: f"{place['name']} -->\n{_section(records.get(place['name']))}", text)


def committed(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the ladder's records of a folder, by name."""
    return {file.stem: load_record(file) for file in sorted(folder.glob("ladder-*.json"))}


def _section(record: Mapping[str, Any] | None) -> str:
    if record is None:
        return ""
    here = record["environment"]
    conditions = (
        f"Measured {record['created'][:10]}, preset {record['preset']}, torch {here['packages']['torch']}, "
        f"{here['processor']}, {here['processes']} processes of one thread."
    )
    report = table(record)
    return "\n\n".join([f"**{report.title}**", _markdown(report), *report.notes, conditions]) + "\n\n"


def _markdown(report: Report) -> str:
    rows = [report.columns, ["---"] * len(report.columns)]
    rows += [[format_cell(row.get(name)).replace("|", r"\|") for name in report.columns] for row in report]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def main() -> None:
    readme = ROOT / "README.md"
    readme.write_text(fill(readme.read_text(encoding="utf-8"), committed(ROOT / "results")), encoding="utf-8")


if __name__ == "__main__":
    main()
