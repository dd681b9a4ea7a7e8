"""The proof that a module computes what another does: outputs, gradients and statistics, in float64, in both modes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..._torch import tree_map_only
from ...errors import FuseError
from ..dataflow.copying import duplicate
from ..dataflow.examples import Example, run, tensors_in

__all__ = ["differences", "prove"]

TOLERANCE = 1e-7
"""Relative to the largest magnitude; rounding is less even where a batch of two is normalized again and again."""

KINDS = ("outputs", "gradients", "buffers")

Named = dict[str, Tensor]


def prove(model: nn.Module, fused: nn.Module, examples: Sequence[Example]) -> dict[str, float]:
    """Return the largest difference of outputs, gradients and buffers, each over its largest magnitude.

    Raises: FuseError if one exceeds :data:`TOLERANCE`; ModelError if the original does not run in float64.
    """
    worst = dict.fromkeys(KINDS, 0.0)
    for example in examples:
        for training in (True, False):
            found = differences(model, fused, example, training)
            for kind, difference in found.items():
                if not difference <= TOLERANCE:
                    mode = "training" if training else "evaluation"
                    raise FuseError(
                        f"the fused model must equal the original, but in {mode} its {kind} differ by "
                        f"{difference:.1e} of the largest magnitude: look for code that asks what its modules are, or "
                        "that remembers from call to call"
                    )
                worst[kind] = max(worst[kind], difference)
    return worst


def differences(model: nn.Module, fused: nn.Module, example: Example, training: bool) -> dict[str, float]:
    """Return the largest difference of each of :data:`KINDS` in one mode, infinite where there is no comparison."""
    theirs = _outcome(model, example, training)
    try:
        ours = _outcome(fused, example, training)
    except RuntimeError as error:  # a ModelError, or autograd's own in backward
        raise FuseError(f"the fused model does not run where the original does: {error}") from error
    return {kind: _difference(a, b) for kind, a, b in zip(KINDS, ours, theirs, strict=True)}


class _Differentiable(nn.Module):
    """A model whose inputs take gradients; it remembers them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.inputs: list[Tensor] = []

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = tree_map_only(Tensor, self._leaf, (args, kwargs))
        return self.model(*args, **kwargs)

    def _leaf(self, t: Tensor) -> Tensor:
        if not t.is_floating_point():
            return t
        self.inputs.append(t.detach().requires_grad_())
        return self.inputs[-1].clone()  # which may be written to


def _outcome(model: nn.Module, example: Example, training: bool) -> tuple[Named, Named, Named]:
    """Run a copy in float64; return outputs, gradients of a random sum of them, and buffers."""
    copy = duplicate(model).double().train(training)
    wide = tree_map_only(Tensor, _double, (example.args, dict(example.kwargs)))
    watched = _Differentiable(copy)
    result = run(watched, Example(*wide), within=torch.enable_grad())
    outputs: Named = {str(i): t for i, t in enumerate(tensors_in(result))}
    wanted = {f"input {i}": t for i, t in enumerate(watched.inputs)}
    wanted |= {name: p for name, p in copy.named_parameters() if p.requires_grad}
    return outputs, _gradients(list(outputs.values()), wanted), dict(copy.named_buffers())


def _gradients(outputs: Sequence[Tensor], wanted: Named) -> Named:
    """Return the gradients of the outputs' sum, each with a random weight."""
    generator = torch.Generator().manual_seed(0)
    roots = [t for t in outputs if t.requires_grad]
    if not roots or not wanted:
        return {}
    weights = [torch.randn(t.shape, generator=generator, dtype=t.dtype).to(t.device) for t in roots]
    found = torch.autograd.grad(roots, list(wanted.values()), weights, allow_unused=True)
    return {name: p.new_zeros(()) if g is None else g for (name, p), g in zip(wanted.items(), found, strict=True)}


def _double(t: Tensor) -> Tensor:
    return t.double() if t.is_floating_point() else t


@torch.no_grad()
def _difference(ours: Named, theirs: Named) -> float:
    """Return the largest difference over the largest magnitude of them all: some are 0 but for rounding."""
    worst = scale = 0.0
    for name, other in theirs.items():
        one = ours.get(name)
        if one is None or one.shape != other.shape:
            return torch.inf
        a, b = (t.to(torch.complex128 if t.is_complex() else torch.float64) for t in (one, other))
        finite = a.isfinite() & b.isfinite()
        if not torch.allclose(a[~finite], b[~finite], equal_nan=True):
            return torch.inf
        if bool(finite.any()):
            worst = max(worst, float((a - b)[finite].abs().max()))
            scale = max(scale, float(b[finite].abs().max()))
    return worst / scale if scale else worst
