"""What folding brings at inference: ``python -m benchmarks.folding``. Some minutes, and wants a quiet machine.

Four networks of the field at full size on one image, float32, each as it is, folded by ours, and fused by torch: the
three by turns in one run. Writes ``results/bench/folding.json``, from which ``make docs-text`` makes the table of
``docs/tools/fold.md``.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse

import steadynorm as sn
from steadynorm.bench import interleave
from steadynorm.files import results
from steadynorm.reports import Report

RECORD = results() / "bench" / "folding.json"
ROUNDS = 21


def measure(name: str) -> dict[str, Any]:
    """Time one network."""
    from benchmarks.foreign import NETWORKS, at_work

    model, image = at_work(NETWORKS[name]), torch.randn(1, 3, 224, 224)
    folded, report = sn.fold(model, image)
    models = {"unfolded": model, "folded": folded, "torch's fuse": fuse(model)}
    with torch.inference_mode():
        expected = model(image)
        for other in models.values():
            torch.testing.assert_close(other(image), expected, rtol=1e-3, atol=1e-3)
        error = float((folded(image) - expected).abs().max() / expected.abs().max())
        timings = interleave({n: lambda m=m: m(image) for n, m in models.items()}, rounds=ROUNDS)
    return {
        "network": name,
        "batch norms": len(report),
        "largest error": error,
        "contestants": [
            {
                "name": n,
                "batch norms left": sum(isinstance(m, nn.BatchNorm2d) for m in models[n].modules()),
                "milliseconds": 1e3 * timing.seconds,
                "quartiles": [1e3 * second for second in timing.seconds_quartiles],
                "speed-up": timing.speedup,
                "speed-up quartiles": list(timing.speedup_quartiles),
            }
            for n, timing in timings.items()
        ],
    }


def table(record: Mapping[str, Any]) -> Report:
    """Return the record as a table for people."""
    rows = []
    for case in record["cases"]:
        for one in case["contestants"]:
            low, high = one["speed-up quartiles"]
            rows.append(
                {
                    "network": case["network"],
                    "model": one["name"],
                    "batch norms": one["batch norms left"],
                    "ms": one["milliseconds"],
                    "speed-up": f"{one['speed-up']:.2f}",
                    "quartiles": f"{low:.2f} – {high:.2f}",
                }
            )
    here = record["environment"]
    note = (
        f"Medians of {record['rounds']} interleaved rounds; measured {record['created']}, torch "
        f"{here['packages']['torch']}, {here['processor']}, {here['threads']} threads."
    )
    return Report("One image of 224×224, float32", tuple(rows[0]), rows, (note,))


def main() -> None:
    """Measure, and write the record."""
    from datetime import UTC, datetime

    from benchmarks.foreign import NETWORKS

    from steadynorm.environment import environment
    from steadynorm.files import write_json

    record = {
        "schema": "steadynorm.folding/1",
        "created": datetime.now(UTC).date().isoformat(),
        "environment": environment(threads=torch.get_num_threads()),
        "rounds": ROUNDS,
        "cases": [measure(name) for name in NETWORKS],
    }
    write_json(RECORD, record)
    print(table(record))


if __name__ == "__main__":
    main()
