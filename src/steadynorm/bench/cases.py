"""Our layers beside torch's: the shapes that networks have, in both layouts, in training and evaluation."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..nn import ACTIVATIONS, BatchNorm1d, BatchNorm2d
from .timing import Timing, interleave

__all__ = ["LAYER_CASES", "LayerCase", "TorchLayers", "compare_layers", "geometric_mean", "rows"]

SHAPES = (
    (32, 64, 56, 56),
    (32, 256, 28, 28),
    (32, 1024, 14, 14),
    (128, 32, 16, 16),
    (32, 128, 8, 8),
    (256, 512),
    (64, 128, 1, 1),
)
Layout = Literal["contiguous", "channels_last"]
Work = Literal["inference", "forward", "forward+backward"]
LAYOUTS: tuple[Layout, ...] = ("contiguous", "channels_last")
WORKS: tuple[Work, ...] = ("inference", "forward", "forward+backward")


class TorchLayers(nn.Module):
    """What our layer does in one, by torch's layers."""

    def __init__(self, norm: nn.Module, activation: str | None) -> None:
        super().__init__()
        self.norm, self.activation = norm, activation

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Return activation(norm(x) + residual)."""
        y: Tensor = self.norm(x)
        y = y if residual is None else y + residual
        return y if self.activation is None else ACTIVATIONS[self.activation](y)


@dataclass(frozen=True)
class LayerCase:
    """One line of the comparison."""

    shape: tuple[int, ...]
    layout: Layout
    work: Work
    activation: str = "relu"
    residual: bool = False

    def __str__(self) -> str:
        finish = self.activation + (" + residual" if self.residual else "")
        return f"{'×'.join(map(str, self.shape))} {self.layout}, {self.work}, {finish}"

    def contestants(self, *, compiled: bool = False) -> dict[str, Callable[[], object]]:
        """Return torch's layers, ours, and a plain copy of the input, which is the unit of what memory allows."""
        generator = torch.Generator().manual_seed(0)
        x, residual, dy = (self._laid_out(torch.randn(self.shape, generator=generator)) for _ in range(3))
        dense, features = len(self.shape) == 2, self.shape[1]
        theirs, ours = (nn.BatchNorm1d, BatchNorm1d) if dense else (nn.BatchNorm2d, BatchNorm2d)
        inputs = (x, residual) if self.residual else (x,)
        layers = TorchLayers(theirs(features), self.activation)
        contestants = {
            "torch": self._call(layers, inputs, dy),
            "steadynorm": self._call(ours(features, activation=self.activation), inputs, dy),
        }
        if compiled:
            torch.compiler.reset()  # or it would give up after some shapes
            contestants["torch.compile"] = self._call(torch.compile(layers), inputs, dy)  # type: ignore[arg-type]
        return contestants | {"copy": x.detach().clone}

    def _laid_out(self, x: Tensor) -> Tensor:
        return x.to(memory_format=torch.channels_last) if self.layout == "channels_last" else x

    def _call(self, layer: nn.Module, inputs: tuple[Tensor, ...], dy: Tensor) -> Callable[[], object]:
        layer.train(self.work != "inference")
        if self.work != "forward+backward":
            return torch.no_grad()(lambda: layer(*inputs))
        leaves = [v.detach().requires_grad_() for v in inputs]
        wanted = [*leaves, *layer.parameters()]
        return lambda: torch.autograd.grad(layer(*leaves), wanted, dy)


LAYER_CASES = tuple(
    LayerCase(shape, layout, work, activation, residual)
    for activation, residual in (("relu", False), ("silu", False), ("relu", True))
    for work, shape, layout in product(reversed(WORKS), SHAPES, LAYOUTS)
    if len(shape) == 4 or layout == "contiguous"
)


def compare_layers(
    cases: Iterable[LayerCase] = LAYER_CASES,
    *,
    rounds: int = 15,
    compiled: Callable[[LayerCase], bool] = lambda case: False,
    progress: Callable[[LayerCase], object] = lambda case: None,
) -> dict[LayerCase, dict[str, Timing]]:
    """Measure every case; before it is timed, ours must give what torch's gives.

    Args:
        compiled: for which cases ``torch.compile`` takes part, which needs seconds for each.
        progress: told of each case before it begins.
    """
    results = {}
    for case in cases:
        progress(case)
        contestants = case.contestants(compiled=compiled(case))
        _check(contestants["steadynorm"](), contestants["torch"]())
        results[case] = interleave(contestants, rounds=rounds)
    return results


def _check(ours: object, theirs: object) -> None:
    """Compare in the scale of the largest value: sums of 100 000 gradients cancel, and torch's are rounded too.

    On channels_last in float32 torch's are off by up to 1e-5 of that, by a float64 reference; ours by 3e-7.

    Where z is 0 but for rounding, ReLU's slope is 0 or 1; of a million values some are there, and each moves the sum of
    its feature by a whole gradient.
    """
    for found, expected in zip(*(v if isinstance(v, tuple) else (v,) for v in (ours, theirs)), strict=True):
        bound = 3e-5 if found.dim() > 1 else 1e-2
        apart = (found - expected).abs() > bound * expected.abs().max()
        if float(apart.double().mean()) > 1e-4 or not bool(found.isfinite().all()):
            raise AssertionError(f"{int(apart.sum())} of {apart.numel()} values are not torch's")


def rows(results: Mapping[LayerCase, Mapping[str, Timing]]) -> list[dict[str, Any]]:
    """Return the measurements as plain values, a row a case."""
    found = []
    for case, timings in results.items():
        ours, compiled = timings["steadynorm"], timings.get("torch.compile")
        found.append(
            {
                "shape": "×".join(map(str, case.shape)),
                "layout": case.layout,
                "work": case.work,
                "activation": case.activation + (" + residual" if case.residual else ""),
                "torch ms": 1e3 * timings["torch"].seconds,
                "torch.compile ms": None if compiled is None else 1e3 * compiled.seconds,
                "steadynorm ms": 1e3 * ours.seconds,
                "speed-up": ours.speedup,
                "quartiles": ours.speedup_quartiles,
                "copies": ours.seconds / timings["copy"].seconds,
                "rounds": ours.rounds,
            }
        )
    return found


def geometric_mean(values: Iterable[float]) -> float:
    """Return the mean of ratios."""
    logarithms = [math.log(v) for v in values]
    return math.exp(sum(logarithms) / len(logarithms))
