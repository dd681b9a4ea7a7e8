"""What ``passes="one"`` loses against ``"exact"``: ``python -m benchmarks.passes [FOLDER]``. Some minutes.

The ladder's network, of 69 batch norms, is trained on the embedded digits, and on a folder of images if one is given.
Then its statistics are taken anew over training images, in batches of several sizes, in one pass and exactly, and it is
tested with each. Writes ``results/bench/passes.json``, from which ``make docs-text``
makes the table of ``docs/tools/recalibrate.md``.
"""

import copy
import re
import sys
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

import steadynorm as sn
from steadynorm.files import results
from steadynorm.reports import Report

RECORD = results() / "bench" / "passes.json"
SIZES = (4, 8, 16, 32, 64, 128)
IMAGES = 1024  # of the training part
TESTED = 2000
RATE = 0.05  # at which BN-x5 does best on digits within the ladder
SEEDS = (0, 1, 2)


def measure(data: str, steps: int, seed: int) -> list[dict[str, Any]]:
    """Train one network, take its statistics anew in every way, and compare."""
    from steadynorm.lab.claims.ladder._arms import ARMS
    from steadynorm.lab.runs.job import Job, JobTraining

    job = Job(
        claim="passes",
        recipe=ARMS["BN-x5"],
        learning_rate=RATE,
        initialization="he",
        seed=seed,
        data=data,
        width=Fraction(1, 8),
        steps=steps,
        evaluate_every=steps,
        train=10_000,
        validation=500,
        test=TESTED,
    )
    training = JobTraining(job)
    for _ in range(steps):
        training.advance()
    trained = training.network
    batches = training.batches
    order = torch.randperm(len(batches.data.train), generator=torch.Generator().manual_seed(seed))[:IMAGES]
    images = batches.input(batches.data.train[order])
    cases = [{"seed": seed, "batch": None, "as trained": quality(training)}]
    for size in SIZES:
        case: dict[str, Any] = {"seed": seed, "batch": size}
        networks = []
        for passes in ("one", "exact"):
            training.network = copy.deepcopy(trained)
            report = sn.recalibrate_(training.network, images.split(size), passes=passes)
            networks.append(training.network)
            case[passes] = quality(training) | {"passes": int(re.findall(r"(\d+) pass", report.title)[0])}
        cases.append(case | distance(*networks))
        training.network = trained
    return cases


def quality(training: Any) -> dict[str, float]:
    """Return accuracy and loss on the test part."""
    network, batches = training.network.eval(), training.batches
    test = batches.data.test
    with torch.inference_mode():
        logits = torch.cat([network(part) for part in batches.input(test).split(200)])
    return {
        "accuracy": float((logits.argmax(1) == test.labels).float().mean()),
        "loss": float(cross_entropy(logits, test.labels)),
    }


def distance(one: nn.Module, exact: nn.Module) -> dict[str, float]:
    """Return how far apart the statistics are: per layer the root mean square over its features, then median and most.

    Means are compared in deviations, variances by the logarithm of their ratio.
    """
    means, variances = [], []
    for a, b in zip(one.modules(), exact.modules(), strict=True):
        if isinstance(a, _BatchNorm) and isinstance(b, _BatchNorm):
            means.append(((a.running_mean - b.running_mean) / (b.running_var + b.eps).sqrt()).square().mean().sqrt())
            variances.append(((a.running_var + a.eps) / (b.running_var + b.eps)).log().square().mean().sqrt())
    far = {"mean": torch.stack(means), "variance": torch.stack(variances)}
    return {
        f"{name}, {which}": float(v)
        for name, d in far.items()
        for which, v in (("median", d.median()), ("most", d.max()))
    }


def table(record: Mapping[str, Any]) -> Report:
    """Return the record as a table for people: medians over the seeds."""
    rows = []
    for name, cases in record["data"].items():
        for size in (None, *record["sizes"]):
            same = [case for case in cases if case["batch"] == size]
            row: dict[str, Any] = {"data": name, "batch": size if size else "as trained"}
            if size is None:
                row |= {"accuracy, one": f"{100 * median(c['as trained']['accuracy'] for c in same):.1f}"}
                row |= {"loss, one": median(c["as trained"]["loss"] for c in same)}
            else:
                for passes in ("one", "exact"):
                    row[f"accuracy, {passes}"] = f"{100 * median(c[passes]['accuracy'] for c in same):.1f}"
                    row[f"loss, {passes}"] = median(c[passes]["loss"] for c in same)
                for key in ("mean, median", "mean, most", "variance, median", "variance, most"):
                    row[key] = f"{median(c[key] for c in same):.3f}"
            rows.append(row)
    columns = ("data", "batch", "accuracy, one", "accuracy, exact", "loss, one", "loss, exact")
    columns += ("mean, median", "mean, most", "variance, median", "variance, most")
    some = next(case for case in next(iter(record["data"].values())) if case["batch"])
    here = record["environment"]
    note = (
        f"Medians of {len(record['seeds'])} seeds; {record['images']} images to take statistics from; exact took "
        f"{some['exact']['passes']} passes. Measured {record['created']}, torch {here['packages']['torch']}."
    )
    return Report("Statistics in one pass, and exactly", columns, rows, (note,))


def main() -> None:
    """Measure, and write the record."""
    from datetime import UTC, datetime

    from steadynorm.environment import environment
    from steadynorm.files import write_json

    data = {"digits": ("digits", 300), **({Path(sys.argv[1]).name: (sys.argv[1], 800)} if sys.argv[1:] else {})}
    record = {
        "schema": "steadynorm.passes/1",
        "created": datetime.now(UTC).date().isoformat(),
        "environment": environment(threads=torch.get_num_threads()),
        "seeds": SEEDS,
        "sizes": SIZES,
        "images": IMAGES,
        "data": {
            name: [case for seed in SEEDS for case in measure(source, steps, seed)]
            for name, (source, steps) in data.items()
        },
    }
    write_json(RECORD, record)
    print(table(record))


if __name__ == "__main__":
    main()
