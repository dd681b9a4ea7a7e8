"""docs/claims/ from the committed records: a page a theme, an index; and the table of claims that do not stand."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import groupby
from typing import Any

from steadynorm.lab import claims
from steadynorm.lab.catalogue import BY_READING, WAITING, claim_of, every_claim
from steadynorm.lab.claim.parts import correction
from steadynorm.reports import Report

from .benches import told


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
        link = f"[{id}]({theme}.md#{name})" if name else f"[{id}](../results.md#the-ladder)"
        rows.append({"claim": link, "verdict": verdict, "covers": " ".join(claim.covers), "statement": claim.statement})
    listed = Report("Claims", ("claim", "verdict", "covers", "statement"), rows)
    lines = [
        "# Claims about batch normalization, settled",
        "Written by `make docs-text` from the records in `results/`. Each claim is a sentence of the literature with a "
        "reading that was fixed beforehand; `steadynorm reproduce ID` runs it on your machine. S and E are the parts "
        "of the article that the claims follow, and its corrections.",
        listed.to_markdown(),
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
            report.to_markdown(),
            *report.notes,
            f"Measured {record['created'][:10]}, preset {record['preset']}, torch {packages['torch']}, "
            f"{record['environment']['processor']}. Again: `steadynorm reproduce {id} --preset {record['preset']}`",
        ]
    return "\n\n".join(lines) + "\n"


def counted(records: Sequence[Mapping[str, Any]]) -> str:
    """Return in a sentence how many claims were settled, and how many do not stand."""
    others = sum(record["verdict"] != "confirmed" for record in records)
    return (
        f"Beside the ladder, {len(records)} sentences of the literature are settled one by one, of which {others} do\n"
        "not stand as they are said: `steadynorm claims` lists them, `steadynorm reproduce ID` runs one here."
    )


def refuted(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the claims that do not stand as they are said; the others are counted."""
    others = [record for record in records if record["verdict"] != "confirmed"]
    rows = [
        {
            "claim": f"[{record['claim']}](docs/claims/{record['claim'].replace('/', '.md#')})",
            "said": record["statement"],
            "verdict": record["verdict"],
            "instead": correction(record),
        }
        for record in others
    ]
    report = Report("Claims that do not stand as they are said", ("claim", "said", "verdict", "instead"), rows)
    note = (
        f"{len(records) - len(others)} further claims are confirmed; all of them: [docs/claims](docs/claims/README.md)."
    )
    return "\n\n".join([f"**{report.title}**", report.to_markdown(), note])


def ladder(record: Mapping[str, Any]) -> str:
    """Return the table of a ladder with what is said about it."""
    here, report = record["environment"], claim_of(record).table(record)
    conditions = (
        f"Measured {record['created'][:10]}, preset {record['preset']}, torch {here['packages']['torch']}, "
        f"{here['processor']}, {here['processes']} processes of one thread."
    )
    return told(report, conditions)
