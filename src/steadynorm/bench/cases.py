"""Our layers beside torch's: the shapes that networks have, in both layouts, in training and evaluation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

import torch
from torch import Tensor, nn

from ..nn import BatchNorm1d, BatchNorm2d
from .timing import Timing, interleave

__all__ = ["LAYER_CASES", "LayerCase", "compare_layers"]

SHAPES = (
    (32, 64, 56, 56),
    (32, 256, 28, 28),
    (32, 1024, 14, 14),
    (128, 32, 16, 16),
    (32, 128, 8, 8),
    (256, 512),
    (64, 128, 1, 1),
)


@dataclass(frozen=True)
class LayerCase:
    """One line of the comparison: batch norm and ReLU on one input."""

    shape: tuple[int, ...]
    layout: Literal["contiguous", "channels_last"]
    work: Literal["inference", "forward", "forward+backward"]

    def contestants(self) -> dict[str, Callable[[], object]]:
        """Return torch's layers, ours, and a plain copy of the input: the least that any layer could take is 1 copy."""
        x = torch.randn(self.shape, generator=torch.Generator().manual_seed(0))
        x = x.to(memory_format=torch.channels_last) if self.layout == "channels_last" else x
        x.requires_grad_(self.work == "forward+backward")
        dense = x.dim() == 2
        theirs, ours = (nn.BatchNorm1d, BatchNorm1d) if dense else (nn.BatchNorm2d, BatchNorm2d)
        features = self.shape[1]
        return {
            "torch": self._call(nn.Sequential(theirs(features), nn.ReLU()), x),
            "steadynorm": self._call(ours(features, activation="relu"), x),
            "copy": x.detach().clone,
        }

    def _call(self, layer: nn.Module, x: Tensor) -> Callable[[], object]:
        layer.train(self.work != "inference")
        if self.work == "forward+backward":
            dy = x.detach().flip(0)
            inputs = [x, *layer.parameters()]
            return lambda: torch.autograd.grad(layer(x), inputs, dy)
        return torch.no_grad()(lambda: layer(x))


def _cases() -> Iterator[LayerCase]:
    works: tuple[Literal["inference", "forward", "forward+backward"], ...] = (
        "inference",
        "forward",
        "forward+backward",
    )
    for shape, work in product(SHAPES, works):
        yield LayerCase(shape, "contiguous", work)
        if len(shape) == 4:
            yield LayerCase(shape, "channels_last", work)


LAYER_CASES = tuple(_cases())


def compare_layers(
    cases: tuple[LayerCase, ...] = LAYER_CASES, *, rounds: int = 15
) -> dict[LayerCase, dict[str, Timing]]:
    """Measure every case; before it is timed, ours must give what torch's gives."""
    results = {}
    for case in cases:
        contestants = case.contestants()
        torch.testing.assert_close(contestants["steadynorm"](), contestants["torch"](), rtol=1e-3, atol=1e-4)
        results[case] = interleave(contestants, rounds=rounds)
    return results
