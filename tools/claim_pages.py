"""Write docs/claims/ from the committed records in results/claims/: a page a theme, and an index.

``--from RUN`` first takes the records of a run of ``steadynorm reproduce`` over, those of the preset ``full`` only.
"""

import argparse
import shutil
from collections.abc import Mapping
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any

from steadynorm.files import write_json
from steadynorm.lab import claims
from steadynorm.lab.catalogue import BY_READING, WAITING, claim_of, committed_records, every_claim
from steadynorm.lab.records import load_record
from steadynorm.reports import Report, format_cell

ROOT = Path(__file__).resolve().parents[1]


def pages(records: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the text of every page, by file name."""
    themes = groupby((id for id in every_claim() if "/" in id), key=lambda id: id.partition("/")[0])
    return {"README.md": index(records)} | {
        f"{theme}.md": theme_page(theme, {id: records[id] for id in ids if id in records}) for theme, ids in themes
    }


def index(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page that lists all."""
    rows = []
    for id, claim in every_claim().items():
        verdict = f"**{records[id]['verdict']}**" if id in records else "never run"
        theme, _, name = id.partition("/")
        link = f"[{id}]({theme}.md#{name})" if name else f"[{id}](../../README.md#see-what-batch-normalization-does)"
        rows.append({"claim": link, "verdict": verdict, "covers": " ".join(claim.covers), "statement": claim.statement})
    listed = Report("Claims", ("claim", "verdict", "covers", "statement"), rows)
    lines = [
        "# Claims about batch normalization, settled",
        "Written by `make claims` from the records in `results/`. Each claim is a sentence of the literature with a "
        "reading that was fixed beforehand; `steadynorm reproduce ID` runs it on your machine. S and E are the parts "
        "of the article that the claims follow, and its corrections.",
        markdown(listed),
        "## Corrections by reading alone",
        "\n".join(f"- **{number}.** {text}" for number, text in BY_READING.items()),
        "## What waits",
        "These need trained networks, or hours:",
        "\n".join(f"- **{part}**: {what}." for part, what in WAITING.items()),
    ]
    return "\n\n".join(lines) + "\n"


def theme_page(theme: str, records: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page of one theme."""
    module = import_module(f"{claims.__name__}.{theme}")
    lines = [f"# {theme.capitalize()}", (module.__doc__ or "").strip()]
    for id, record in records.items():
        packages = record["environment"]["packages"]
        report = claim_of(record).table(record)
        lines += [
            f"## {id.partition('/')[2]}",
            f"*{record['statement']}*",
            f"**{record['verdict']}**. {record['reading']}",
            f"Source: {record['source']}. The literature says: {record['literature']}. Covers "
            f"{', '.join(record['covers'])}.",
            markdown(report),
            *report.notes,
            f"Measured {record['created'][:10]}, preset {record['preset']}, torch {packages['torch']}, "
            f"{record['environment']['processor']}. Again: `steadynorm reproduce {id} --preset {record['preset']}`",
        ]
    return "\n\n".join(lines) + "\n"


def markdown(report: Report) -> str:
    """Write the rows of a report as a table."""
    rows = [report.columns, ["---"] * len(report.columns)]
    rows += [[format_cell(row.get(name)).replace("|", r"\|") for name in report.columns] for row in report]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="run", type=Path, help="a run directory of `steadynorm reproduce`")
    run = parser.parse_args().run
    if run is not None:
        for record in load_record(run)["records"]:
            if "/" in record["claim"]:
                if record["preset"] != "full":
                    raise SystemExit(
                        f"records that are committed must be of the preset full, received {record['preset']}"
                    )
                write_json(ROOT / "results" / "claims" / f"{record['claim']}.json", record)
    folder = ROOT / "docs" / "claims"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in pages(committed_records()).items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
