"""What each method costs beside batch norm: ``python -m benchmarks.methods [RECORD]``. Wants a quiet machine.

Forward and backward in training, and inference, of one layer on one activation map; the record is what the method
cards quote.
"""

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor, nn

import steadynorm as sn
from steadynorm.bench.timing import interleave
from steadynorm.environment import environment
from steadynorm.files import results, write_json
from steadynorm.nn.catalogue import CATALOGUE
from steadynorm.reports import Report

SHAPE = (32, 64, 28, 28)
RECORD = results() / "bench" / "methods.json"


def layers() -> Iterator[tuple[str, nn.Module]]:
    """Yield batch norm first, then every other method for images."""
    whitened = {"groups": 4}
    options = {
        "ghost": {"ghost_batch_size": 8},
        "virtual": {"reference_size": 16},
        "whitening": whitened,
        "iternorm": whitened,
    }
    for method in CATALOGUE:
        if method.name == "sync":  # alone it is batch norm; benchmarks.synchronization measures it among processes
            continue
        features = SHAPE[1] // 2 if method.complex else SHAPE[1]
        yield method.name, method.layers[2](features, **{**method.options, **options.get(method.name, {})})
    yield "group (torch)", nn.GroupNorm(32, SHAPE[1])


def training(layer: nn.Module, x: Tensor) -> Callable[[], object]:
    """Return a forward and backward pass."""
    inputs, dy = [x, *layer.parameters()], x.detach().flip(0)
    layer.requires_grad_()
    return lambda: torch.autograd.grad(layer(x), inputs, dy, allow_unused=True)


def main(record: Path = RECORD) -> None:
    """Measure, print the table, write the record."""
    torch.manual_seed(0)
    real = torch.randn(SHAPE, requires_grad=True)
    half = torch.randn(SHAPE[0], SHAPE[1] // 2, *SHAPE[2:], dtype=torch.complex64, requires_grad=True)

    def given(name: str) -> Tensor:
        return half if name == "complex" else real  # as many numbers

    with sn.nn.domain("one"), sn.nn.condition(torch.arange(SHAPE[0]) % 2):
        train = interleave({name: training(layer.train(), given(name)) for name, layer in layers()})
        evaluate = {name: (layer.eval(), given(name)) for name, layer in layers()}
        with torch.no_grad():
            infer = interleave({name: (lambda layer=layer, x=x: layer(x)) for name, (layer, x) in evaluate.items()})
    rows = [
        {
            "method": name,
            "forward+backward ms": 1e3 * train[name].seconds,
            "times batch norm": 1 / train[name].speedup,
            "inference ms": 1e3 * infer[name].seconds,
            "inference, times batch norm": 1 / infer[name].speedup,
        }
        for name in train
    ]
    here = environment(threads=torch.get_num_threads())
    write_json(record, {"shape": SHAPE, "rounds": train["batch"].rounds, "rows": rows, "environment": here,
                        "created": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"})  # fmt: skip
    print(Report(f"One layer on {SHAPE}, float32, {torch.get_num_threads()} threads", tuple(rows[0]), rows))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
