"""Write everything in the documents that is made from something else: ``python -m tools.docs``, or ``make docs-text``.

Whole files: ``docs/article.md``, ``docs/doctor.md``, ``docs/claims/``, the charts in ``docs/images/``. Blocks, in
README and in pages below ``docs/``, between ``<!-- KIND:NAME -->`` and ``<!-- /KIND -->``:

====================  ==================================================================================================
``table:methods``     the catalogue of methods
``table:claims``      the claims that do not stand as they are said
``table:claim-counts``  how many there are of either kind
``table:A-B``         the record ``results/A/B.json``, for ladders and benchmarks
``cost:METHOD``       what a method costs, from ``results/bench/methods.json``
``measured:METHOD``   its accuracy with small batches, from ``results/bench/small-batches.json``
====================  ==================================================================================================

``--from RUN`` first takes the records of a run of ``steadynorm reproduce`` over, those of the preset ``full`` only;
``--check`` writes nothing and fails when something is stale.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from steadynorm.files import write_json
from steadynorm.lab.catalogue import committed_records
from steadynorm.lab.records import load_record
from steadynorm.pages.explainer import article

from .blocks import benches, charts, claims, rules

ROOT = Path(__file__).resolve().parents[1]
PLACE = re.compile(r"<!-- (?P<kind>table|cost|measured):(?P<name>[\w-]+) -->\n.*?<!-- /(?P=kind) -->", re.DOTALL)
UNSHOWN = {"table:bench-methods"}  # it is told in the cards, method by method


def blocks(results: Path = ROOT / "results") -> dict[str, str]:
    """Return the text of every block, by kind and name; links in them start at the root of the repository."""
    ladders = {file.stem: load_record(file) for file in sorted(results.glob("ladder/*.json"))}
    read = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(results.glob("bench/*.json"))}
    settled = [load_record(file) for file in sorted(results.glob("claims/*/*.json"))]
    made = {"table:methods": benches.methods()}
    made |= {f"table:ladder-{name}": claims.ladder(record) for name, record in ladders.items()}
    made |= {f"table:bench-{name}": benches.TABLES[name](record) for name, record in read.items()}
    if settled:
        made["table:claims"] = claims.refuted(settled)
        made["table:claim-counts"] = claims.counted(settled)
    if "methods" in read:
        made |= {f"cost:{name}": text for name, text in benches.costs(read["methods"]).items()}
    if "small-batches" in read:
        made |= {f"measured:{name}": text for name, text in benches.measured(read["small-batches"]).items()}
    return made


def fill(text: str, made: Mapping[str, str], folder: str) -> str:
    """Return a page with every block written anew; one that is not known is an error.

    Args:
        folder: of the page, from the root, by which links are written.
    """

    def block(place: re.Match[str]) -> str:
        key = f"{place['kind']}:{place['name']}"
        if key not in made:
            raise SystemExit(f"a block must be one of {', '.join(sorted(made))}, received {key}")
        body = re.sub(r"(?<=\]\()docs/[^)#]+", lambda link: os.path.relpath(link[0], folder or "."), made[key])
        return f"<!-- {key} -->\n{body}\n\n<!-- /{place['kind']} -->"

    return PLACE.sub(block, text)


def documents() -> Iterator[tuple[Path, str]]:
    """Yield every file that is made, or has something made in it, with the text that it must have."""
    made, records = blocks(), committed_records()
    whole = {"docs/article.md": article(records), "docs/doctor.md": rules.page()}
    whole |= {f"docs/images/{name}.svg": text for name, text in charts.drawn(ROOT / "results").items()}
    whole |= {f"docs/claims/{name}": text for name, text in claims.pages(records).items()}
    unplaced = {key for key in made if key.startswith("table:")} - UNSHOWN
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        name = page.relative_to(ROOT).as_posix()
        if name not in whole:
            text = page.read_text(encoding="utf-8")
            unplaced -= {f"{place['kind']}:{place['name']}" for place in PLACE.finditer(text)}
            yield page, fill(text, made, os.path.dirname(name))
    if unplaced:
        raise SystemExit(f"each record must have a place in a page, received none for {', '.join(sorted(unplaced))}")
    yield from ((ROOT / name, text) for name, text in whole.items())


def stale() -> list[tuple[Path, str]]:
    """Return the files that are not what they must be, with what they must be."""
    return [(page, text) for page, text in documents() if not page.exists() or page.read_text("utf-8") != text]


def take_over(run: Path) -> None:
    """Copy the records of a run of ``steadynorm reproduce`` into ``results/claims/``."""
    for record in load_record(run)["records"]:
        if "/" in record["claim"]:
            if record["preset"] != "full":
                raise SystemExit(f"records that are committed must be of the preset full, received {record['preset']}")
            write_json(ROOT / "results" / "claims" / f"{record['claim']}.json", record)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="run", type=Path, help="a run directory of `steadynorm reproduce`")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args(arguments)
    if given.run is not None:
        take_over(given.run)
    old: list[tuple[Path, Any]] = stale()
    for page, text in old:
        print(page.relative_to(ROOT))
        if not given.check:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(text, encoding="utf-8")
    if given.check and old:
        sys.exit("these are stale: run `make docs-text`")


if __name__ == "__main__":
    main()
