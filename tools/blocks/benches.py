"""What pages show of the benchmarks, and of the catalogue of methods."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from benchmarks import doctor, folding, page, passes, synchronization, zoo

from steadynorm.bench import geometric_mean
from steadynorm.nn.catalogue import CATALOGUE
from steadynorm.reports import Cell, Report

Record = Mapping[str, Any]
# the arm of small-batches.json, where it has not the method's name; sync has a record of its own
ARMS = {"ghost": "batch", "lp": "l1", "weighted": "batch, weighted"}


def told(report: Report, *conditions: str) -> str:
    """Write a report as a part of a page."""
    return "\n\n".join([f"**{report.title}**", report.to_markdown(), *report.notes, *conditions])


def methods() -> str:
    """Return the catalogue as a table."""
    rows = [
        {"method": f"[{m.name}](docs/methods/{m.name}.md)", "layer": f"`{m.layers[2].__name__}`",
         "what it does": m.summary, "when": m.when, "paper": m.paper.rsplit(", ", 1)[1]}
        for m in CATALOGUE
    ]  # fmt: skip
    return Report("", tuple(rows[0]), rows).to_markdown()


def costs(record: Record) -> dict[str, str]:
    """Return what each method costs, in words."""
    shape, here = "×".join(map(str, record["shape"])), record["environment"]
    texts = {}
    for row in record["rows"]:
        ratios = f", {row['times batch norm']:.2g} and {row['inference, times batch norm']:.2g} times batch norm's"
        texts[row["method"]] = (
            f"On {shape} in float32, forward and backward take {row['forward+backward ms']:.3g} ms and inference "
            f"{row['inference ms']:.3g} ms{'' if row['method'] == 'batch' else ratios}. Measured "
            f"{record['created'][:10]}, torch {here['packages']['torch']}, {here['processor']}, {here['threads']} "
            "threads."
        )
    return texts


def measured(record: Record) -> dict[str, str]:
    """Return the accuracy of each method with small batches, beside batch norm's, in words."""
    accuracies = {str(row["arm"]): row for row in accuracy(record).rows}

    def numbers(arm: str) -> str:
        return ", ".join(f"{value} at {m}" for m, value in accuracies[arm].items() if m != "arm")

    texts = {}
    for arm, method in [(ARMS.get(m.name, m.name), m.name) for m in CATALOGUE]:
        if arm in accuracies:
            beside = "" if arm == "batch" else f"; batch norm: {numbers('batch')}"
            texts[method] = f"Test accuracy on CIFAR-10, in per cent: {numbers(arm)}{beside}. {_conditions(record)}"
    return texts


def accuracy(record: Record) -> Report:
    """Return a row an arm: test accuracy in per cent at each m, mean and deviation over the seeds."""
    results = record["results"]
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


def _conditions(record: Record) -> str:
    here, seeds = record["environment"], len({result["seed"] for result in record["results"]})
    chosen = {(result["arm"], result["m"]): result["rate"] for result in record["results"]}
    edges = sum(rate in (min(record["rates"]), max(record["rates"])) for rate in chosen.values())
    return (
        f"A small convolutional network, {record['steps']} steps of 64 images, of which m at a time are normalized "
        f"together; each arm at the best of {len(record['rates'])} rates for its m ({edges} of {len(chosen)} took one "
        f"at the grid's edge), {seeds} seeds, ± their deviation; "
        f"`python -m benchmarks.small_batches`, {record['created'][:10]}, torch {here['packages']['torch']}."
    )


def layers(rows: Sequence[Record]) -> Report:
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
    means = (f"{geometric_mean(images(shown, layout)):.2f} {layout}" for layout in ("contiguous", "channels_last"))
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


def images(rows: Sequence[Record], layout: str) -> list[float]:
    """Return the speed-ups of one layout where the input is an image of more than one pixel."""
    same = [row for row in rows if row["layout"] == layout and row["shape"].count("×") == 3]
    return [row["speed-up"] for row in same if not row["shape"].endswith("×1×1")]


def steps(rows: Sequence[Record]) -> Report:
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


def measured_when(record: Record) -> str:
    """Return when and where layers or steps were timed."""
    here = record["environment"]
    return (
        f"Measured {record['created'][:10]}, medians of {record['rows'][0]['rounds']} interleaved rounds, torch "
        f"{here['packages']['torch']}, {here['processor']}, {here['threads']} threads."
    )


#: How the record ``results/bench/NAME.json`` is shown, by name.
TABLES: Mapping[str, Callable[[Record], str]] = {
    "layers": lambda record: told(layers(record["rows"]), measured_when(record)),
    "steps": lambda record: told(steps(record["rows"]), measured_when(record)),
    "small-batches": lambda record: told(accuracy(record), _conditions(record)),
    "methods": lambda record: "\n\n".join(costs(record).values()),
    "folding": lambda record: told(folding.table(record)),
    "zoo": lambda record: told(zoo.table(record)),
    "passes": lambda record: told(passes.table(record)),
    "doctor": lambda record: told(doctor.table(record)),
    "page": lambda record: told(page.table(record)),
    "synchronization": lambda record: told(synchronization.table(record)),
}
