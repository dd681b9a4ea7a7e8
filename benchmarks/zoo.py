"""Training steps of the makers' own models: ``python -m benchmarks.zoo``. Some minutes, and wants a quiet machine.

torchvision's and timm's models as they come, after ``convert_(model, "batch")``, and after ``fuse``: the three by turns
in one run, forward, cross-entropy, backward and SGD, in both layouts. Wants torchvision and timm beside torch. Writes
``results/bench/zoo.json``, from which ``make docs-text`` makes the table of ``docs/tools/fuse.md``.
"""

import copy
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

import steadynorm as sn
from steadynorm.bench import interleave
from steadynorm.files import results
from steadynorm.reports import Report

RECORD = results() / "bench" / "zoo.json"
MODELS = (
    ("torchvision", "resnet50"),
    ("torchvision", "mobilenet_v2"),
    ("timm", "efficientnet_lite0"),
    ("timm", "regnety_004"),
)
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
BATCH, SIZE, ROUNDS = 8, 128, 15


def made(maker: str, name: str) -> nn.Module:
    """Return a maker's model with drawn weights."""
    import timm
    import torchvision

    torch.manual_seed(0)
    make = {"torchvision": torchvision.models.get_model, "timm": timm.create_model}[maker]
    return make(name)


def step_of(model: nn.Module, layout: str) -> Callable[[], torch.Tensor]:
    """Return a function that makes one step and returns the loss."""
    model = model.train().to(memory_format=LAYOUTS[layout])
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    draw = torch.Generator().manual_seed(1)
    images = torch.randn(BATCH, 3, SIZE, SIZE, generator=draw).to(memory_format=LAYOUTS[layout])
    labels = torch.randint(1000, (BATCH,), generator=draw)

    def step() -> torch.Tensor:
        torch.manual_seed(2)  # for the dropout of some heads
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def measure(maker: str, name: str) -> dict[str, Any]:
    """Time one model; before that, all three must lose the same."""
    model = made(maker, name)
    converted = copy.deepcopy(model)
    sn.convert_(converted, "batch")
    fused, report = sn.fuse(model, torch.randn(2, 3, 64, 64))
    versions = {"torch": model, "convert_": converted, "fuse": fused}
    layouts = {}
    for layout in LAYOUTS:
        steps = {n: step_of(copy.deepcopy(version), layout) for n, version in versions.items()}
        expected = steps["torch"]()
        for step in list(steps.values())[1:]:
            torch.testing.assert_close(step(), expected, rtol=1e-3, atol=1e-3)
        layouts[layout] = {
            n: {
                "milliseconds": 1e3 * timing.seconds,
                "quartiles": [1e3 * second for second in timing.seconds_quartiles],
                "speed-up": timing.speedup,
                "speed-up quartiles": list(timing.speedup_quartiles),
            }
            for n, timing in interleave(steps, rounds=ROUNDS).items()
        }
    return {
        "model": name,
        "maker": maker,
        "batch norms": len(report),
        "activations taken": sum(row.get("activation") is not None for row in report),
        "residuals taken": sum(bool(row.get("residual")) for row in report),
        "layouts": layouts,
    }


def table(record: Mapping[str, Any]) -> Report:
    """Return the record as a table for people."""
    rows = []
    for case in record["cases"]:
        taken = f"{case['activations taken']} + {case['residuals taken']} of {case['batch norms']}"
        for layout, timings in case["layouts"].items():
            row = {"model": f"{case['maker']} {case['model']}", "taken": taken, "layout": layout}
            row["torch ms"] = timings["torch"]["milliseconds"]
            for version in ("convert_", "fuse"):
                low, high = timings[version]["speed-up quartiles"]
                row[version] = f"{timings[version]['speed-up']:.2f}"
                row[f"{version} quartiles"] = f"{low:.2f} – {high:.2f}"
            rows.append(row)
    here, makers = record["environment"], record["environment"]["makers"]
    note = (
        f"{record['batch']} images of {record['size']}×{record['size']}, float32, SGD; times as fast as the model as "
        "it comes. Taken: activations and residuals, of so many batch norms. Medians of "
        f"{record['rounds']} interleaved rounds; measured {record['created']}, torch {here['packages']['torch']}, "
        f"{', '.join(f'{maker} {version}' for maker, version in makers.items())}, {here['processor']}, "
        f"{here['threads']} threads."
    )
    return Report("Training steps of the makers' models", tuple(rows[0]), rows, (note,))


def main() -> None:
    """Measure, and write the record."""
    from datetime import UTC, datetime
    from importlib import metadata

    from steadynorm import kernels
    from steadynorm.environment import environment
    from steadynorm.files import write_json

    kernels.load()
    cases = []
    for maker, name in MODELS:
        print(name, file=sys.stderr)
        cases.append(measure(maker, name))
    record = {
        "schema": "steadynorm.zoo/1",
        "created": datetime.now(UTC).date().isoformat(),
        "environment": environment(
            threads=torch.get_num_threads(),
            kernels=kernels.status(),
            makers={maker: metadata.version(maker) for maker in ("torchvision", "timm")},
        ),
        "batch": BATCH,
        "size": SIZE,
        "rounds": ROUNDS,
        "cases": cases,
    }
    write_json(RECORD, record)
    print(table(record))


if __name__ == "__main__":
    main()
