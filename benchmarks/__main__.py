"""Our layers beside torch's: ``python -m benchmarks [layers] [steps]``, both without words.

Takes some minutes, wants a quiet machine, and writes ``results/bench/layers.json`` and ``results/bench/steps.json``,
from which ``make docs-text`` makes their tables.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import torch

from steadynorm import kernels
from steadynorm.bench import compare_layers, rows
from steadynorm.environment import environment
from steadynorm.files import results, write_json

from . import steps


def layers() -> Iterator[dict[str, Any]]:
    """Measure single layers; ``torch.compile`` takes part where most time goes."""
    yield from rows(
        compare_layers(
            rounds=15,
            compiled=lambda case: case.work == "forward+backward" and case.activation == "relu" and not case.residual,
            progress=lambda case: print(case, file=sys.stderr),
        )
    )


def networks() -> Iterator[dict[str, Any]]:
    """Measure whole training steps."""
    for row in steps.measure(rounds=7):
        print(row, file=sys.stderr)
        yield row


MEASUREMENTS = {"layers": layers, "steps": networks}


def main() -> None:
    """Measure, and write a record each."""
    kernels.load()
    for name in sys.argv[1:] or MEASUREMENTS:
        record = {
            "schema": "steadynorm.bench/1",
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": environment(threads=torch.get_num_threads(), kernels=kernels.status()),
            "rows": list(MEASUREMENTS[name]()),
        }
        write_json(results() / "bench" / f"{name}.json", record)


if __name__ == "__main__":
    main()
