"""Write the tables of README and of the method cards, from committed records and the catalogue.

README's stand between ``<!-- table:NAME -->`` and ``<!-- /table -->``. Table ladder-NAME is of
``results/ladder/NAME.json``, bench-NAME of ``results/bench/NAME.json``, and claims of all of ``results/claims/``. A
table whose record is not there yet stays empty; a record that README has no place for is an error, so that no result is
left out unseen. Table ``methods`` is the catalogue, and ``small-batches`` is ``benchmarks/small-batches.json``. What a
card says of its method's cost, between ``<!-- cost:NAME -->`` and ``<!-- /cost -->``, is from
``benchmarks/methods.json``; what was measured with small batches stands between ``<!-- measured:NAME -->`` and ``<!--
/measured -->``.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from steadynorm.bench import geometric_mean
from steadynorm.lab.catalogue import claim_of
from steadynorm.lab.claim.parts import correction
from steadynorm.lab.records import load_record
from steadynorm.nn.catalogue import CATALOGUE
from steadynorm.reports import Cell, Report, format_cell

ROOT = Path(__file__).resolve().parents[1]
# the arm of small-batches.json, where it has not the card's name
ARMS = {"ghost": "batch", "lp": "l1", "weighted": "batch, weighted"}
SMALL_BATCHES = ROOT / "benchmarks" / "small-batches.json"
CARDS = ROOT / "docs" / "methods"
MEASURED = re.compile(r"(?<=<!-- measured:)(?P<name>[\w-]+) -->\n.*?(?=<!-- /measured -->)", re.DOTALL)
COST = re.compile(r"(?<=<!-- cost:)(?P<name>[\w-]+) -->\n.*?(?=<!-- /cost -->)", re.DOTALL)
PLACE = re.compile(r"(?<=<!-- table:)(?P<name>[\w-]+) -->\n.*?(?=<!-- /table -->)", re.DOTALL)


def fill(text: str, records: Mapping[str, Mapping[str, Any]]) -> str:
    """Return README's text with every table written anew from its record, by name."""
    lost = set(records) - {place["name"] for place in PLACE.finditer(text)}
    if lost:
        raise SystemExit(f"README must have a place for each record, received none for {', '.join(sorted(lost))}")

    def section(name: str) -> str:
        if name == "methods":
            return _methods()
        if name == "small-batches" and name in records:
            return _told(small_batches(records[name]["results"]), _small_batches_conditions(records[name]))
        return _section(records.get(name))

    return PLACE.sub(lambda place: f"{place['name']} -->\n{section(place['name'])}", text)


def fill_card(text: str, costs: Mapping[str, Any], small: Mapping[str, Any]) -> str:
    """Return a card's text with its method's cost and its accuracy on small batches, from their records."""
    rows = {row["method"]: row for row in costs["rows"]}

    def cost(name: str) -> str:
        row, plain = rows[name], rows["batch"]
        shape, here = "×".join(map(str, costs["shape"])), costs["environment"]
        ratios = f", {row['times batch norm']:.2g} and {row['inference, times batch norm']:.2g} times batch norm's"
        return (
            f"On {shape} in float32, forward and backward take {row['forward+backward ms']:.3g} ms and inference "
            f"{row['inference ms']:.3g} ms{'' if row is plain else ratios}. Measured {costs['created'][:10]}, "
            f"torch {here['packages']['torch']}, {here['processor']}, {here['threads']} threads.\n"
        )

    def measured(name: str) -> str:
        arm, batch = ARMS.get(name, name), "batch"
        accuracies = {row["arm"]: row for row in small_batches(small["results"])}

        def told(arm: str) -> str:
            return ", ".join(f"{value} at {m}" for m, value in accuracies[arm].items() if m != "arm")

        beside = "" if arm == batch else f"; batch norm: {told(batch)}"
        return f"Test accuracy on CIFAR-10, in per cent: {told(arm)}{beside}. {_small_batches_conditions(small)}\n"

    text = MEASURED.sub(lambda place: f"{place['name']} -->\n{measured(place['name'])}", text)
    return COST.sub(lambda place: f"{place['name']} -->\n{cost(place['name'])}", text)


def committed(folder: Path = ROOT / "results", small: Path = SMALL_BATCHES) -> dict[str, dict[str, Any]]:
    """Read the records that README shows, by name."""
    found = {f"ladder-{file.stem}": load_record(file) for file in sorted(folder.glob("ladder/*.json"))}
    claims = [load_record(file) for file in sorted(folder.glob("claims/*/*.json"))]
    if claims:
        found["claims"] = {"kind": "claims", "records": claims}
    benches = {f"bench-{file.stem}": file for file in folder.glob("bench/*.json")}
    benches |= {small.stem: small} if small.exists() else {}
    return found | {name: json.loads(file.read_text(encoding="utf-8")) for name, file in benches.items()}


def small_batches(results: Sequence[Mapping[str, Any]]) -> Report:
    """Return a row an arm: test accuracy in per cent at each m, mean and deviation over the seeds."""
    kinds = (("", "test"), (", statistics anew", "test recalibrated"), (", weighted", "test weighted"))
    sizes = sorted({result["m"] for result in results if result["m"]}, reverse=True)
    rows: list[dict[str, Cell]] = []
    for arm in dict.fromkeys(result["arm"] for result in results):
        for suffix, kind in kinds:
            cells: dict[str, Cell] = {}
            for m, column in (*((m, f"m = {m}") for m in sizes), (None, "any m")):
                found = [result for result in results if result["arm"] == arm and result["m"] == m]
                lost = sum("diverged_at" in result for result in found)
                values = [100 * result[kind] for result in found if kind in result]
                if values:
                    spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
                    diverged = f" ({lost} diverged)" if lost else ""
                    cells[column] = f"{fmean(values):.1f}{spread}{diverged}"
                elif lost and kind == "test":
                    cells[column] = "diverged"
            if cells:
                rows.append({"arm": arm + suffix, **cells})
    return Report("Accuracy on CIFAR-10, %", ("arm", *(f"m = {m}" for m in sizes), "any m"), rows)


def _small_batches_conditions(record: Mapping[str, Any]) -> str:
    here, seeds = record["environment"], len({result["seed"] for result in record["results"]})
    chosen = {(result["arm"], result["m"]): result["rate"] for result in record["results"]}
    edges = sum(rate in (min(record["rates"]), max(record["rates"])) for rate in chosen.values())
    return (
        f"A small convolutional network, {record['steps']} steps of 64 images, of which m at a time are normalized "
        f"together; each arm at the best of {len(record['rates'])} rates for its m ({edges} of {len(chosen)} took one "
        f"at the grid's edge), {seeds} seeds, ± their deviation; "
        f"`python -m benchmarks.small_batches`, {record['created'][:10]}, torch {here['packages']['torch']}."
    )


def _methods() -> str:
    rows = [
        {"method": f"[{m.name}](docs/methods/{m.name}.md)", "layer": f"`{m.layers[2].__name__}`",
         "what it does": m.summary, "when": m.when, "paper": m.paper.rsplit(", ", 1)[1]}
        for m in CATALOGUE
    ]  # fmt: skip
    return f"{_markdown(Report('', tuple(rows[0]), rows))}\n\n"


def _section(record: Mapping[str, Any] | None) -> str:
    if record is None:
        return ""
    if record.get("kind") == "claims":
        return claims(record["records"])
    here = record["environment"]
    if record["schema"] == "steadynorm.bench/1":
        report = steps(record["rows"]) if "network" in record["rows"][0] else layers(record["rows"])
        how = (
            f"medians of {record['rows'][0]['rounds']} interleaved rounds, torch {here['packages']['torch']}, "
            f"{here['processor']}, {here['threads']} threads."
        )
    else:
        report = claim_of(record).table(record)
        how = (
            f"preset {record['preset']}, torch {here['packages']['torch']}, {here['processor']}, "
            f"{here['processes']} processes of one thread."
        )
    return _told(report, f"Measured {record['created'][:10]}, {how}")


def _told(report: Report, conditions: str) -> str:
    return "\n\n".join([f"**{report.title}**", _markdown(report), *report.notes, conditions]) + "\n\n"


def claims(records: Sequence[Mapping[str, Any]]) -> str:
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
    return "\n\n".join([f"**{report.title}**", _markdown(report), note]) + "\n\n"


def layers(rows: Sequence[Mapping[str, Any]]) -> Report:
    """Return forward and backward with ReLU, and in words all else that was measured."""
    shown = [row for row in rows if row["work"] == "forward+backward" and row["activation"] == "relu"]
    cells = [
        {
            "input": row["shape"],
            "layout": row["layout"],
            "torch ms": row["torch ms"],
            "torch.compile ms": row["torch.compile ms"],
            "ours ms": row["steadynorm ms"],
            "speed-up": f"{row['speed-up']:.2f}",
            "quartiles": _range(row["quartiles"]),
            "copies": f"{row['copies']:.1f}",
        }
        for row in shown
    ]
    means = []
    for layout in ("contiguous", "channels_last"):
        images = [
            row["speed-up"]
            for row in shown
            if row["layout"] == layout and row["shape"].count("×") == 3 and not row["shape"].endswith("×1×1")
        ]
        means.append(f"{geometric_mean(images):.2f} {layout}")
    slower = [
        f"{row['shape']} {row['layout']}, {row['work']}, {row['activation']} ({row['speed-up']:.2f})"
        for row in rows
        if row["speed-up"] < 1
    ]
    notes = (
        "Copies: our time as a multiple of copying the input. Geometric mean of the speed-up over the images, those of "
        f"one pixel left out: {' and '.join(means)}.",
        f"Of all {len(rows)} cases measured (forward and backward, forward alone, inference; ReLU, SiLU, residual and "
        f"ReLU), torch is faster in {len(slower)}" + (f": {'; '.join(slower)}." if slower else "."),
    )
    return Report("Batch norm and ReLU, forward and backward, float32, with allocation", tuple(cells[0]), cells, notes)


def steps(rows: Sequence[Mapping[str, Any]]) -> Report:
    """Return whole training steps."""
    cells = [
        {
            "network": row["network"],
            "layout": row["layout"],
            "torch ms": row["torch ms"],
            "ours ms": row["steadynorm ms"],
            "speed-up": f"{row['speed-up']:.2f}",
            "quartiles": _range(row["quartiles"]),
            "norms' share %": round(100 * row["share of norms"]),
            "taken back %": round(100 * row["taken back"]),
            "torch peak MB": round(row["torch peak MB"]),
            "ours peak MB": round(row["steadynorm peak MB"]),
        }
        for row in rows
    ]
    note = (
        "Eight images of 128×128, float32, SGD. The norms' share is what the step loses when batch norms and "
        "activations are left out; of that, so much is taken back. Peaks are of resident memory above what the "
        "network takes at rest."
    )
    return Report("Whole training steps", tuple(cells[0]), cells, (note,))


def _range(quartiles: Sequence[float]) -> str:
    low, high = quartiles
    return f"{low:.2f} – {high:.2f}"


def _markdown(report: Report) -> str:
    rows = [report.columns, ["---"] * len(report.columns)]
    rows += [[format_cell(row.get(name)).replace("|", r"\|") for name in report.columns] for row in report]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def main() -> None:
    readme = ROOT / "README.md"
    readme.write_text(fill(readme.read_text(encoding="utf-8"), committed()), encoding="utf-8")
    costs = json.loads((ROOT / "benchmarks" / "methods.json").read_text(encoding="utf-8"))
    small = json.loads(SMALL_BATCHES.read_text(encoding="utf-8"))
    for card in sorted(CARDS.glob("*.md")):
        card.write_text(fill_card(card.read_text(encoding="utf-8"), costs, small), encoding="utf-8")


if __name__ == "__main__":
    main()
