"""The proof of a fold: the folded model beside the original, layer by layer and as a whole."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import FoldError, ModelError
from ..change import preserved
from ..dataflow.copying import duplicate
from ..dataflow.examples import Example, run, tensors_in

__all__ = ["TOLERANCES", "prove"]

TOLERANCES = {torch.float64: 1e-11, torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""How far a layer with new weights may be from the original, relative to the largest magnitude: rounding is less."""


def prove(
    model: nn.Module,
    folded: nn.Module,
    points: Sequence[str | None],
    examples: Sequence[Example],
    tolerance: float | None,
) -> dict[str | None, float]:
    """Return the error at each point, and under None that of the output: the largest difference over the magnitude.

    At each point the folded model goes on with what the original has there, so that errors do not add up. The output is
    that of a run without this help, so there they do.

    Args:
        points: for each layer with new weights the name of the module whose outputs must be the same in both; None if
            it is the output of the model alone.
        tolerance: for every comparison; None for :data:`TOLERANCES`, and at the output for the sum over these layers.

    Raises: FoldError if a difference exceeds the tolerance, or if the folded model does not run.
    """
    expected: dict[str, list[Tensor]] = {name: [] for name in points if name is not None}
    found: list[tuple[str | None, float, float]] = []
    coarsest = max((TOLERANCES.get(p.dtype, 0.0) for p in folded.parameters()), default=0.0)

    def compare(name: str | None, ours: Tensor | None, theirs: Tensor | None, layers: int = 1) -> None:
        if ours is None or theirs is None or ours.shape != theirs.shape:
            found.append((name, torch.inf, 0.0))
            return
        allowed = layers * max(coarsest, TOLERANCES.get(theirs.dtype, 0.0)) if tolerance is None else tolerance
        found.append((name, _difference(ours, theirs), allowed))

    def put_right(name: str, output: Tensor) -> Tensor:
        original = expected[name].pop(0) if expected[name] else None
        compare(name, output, original)
        return output if original is None else original

    theirs = _run(model, examples, expected, lambda name, output: expected[name].append(output.clone()))
    for a, b in zip_longest(theirs, _run_itself(model, examples)):
        if a is None or b is None or a.shape != b.shape or not torch.allclose(a, b, 1e-4, 1e-6, equal_nan=True):
            raise ModelError(
                "a copy of the model must compute what the model computes, but does not: fold compares with a copy, so "
                "look at the model's own __deepcopy__, and for what it remembers from call to call"
            )
    try:
        _run(folded, examples, expected, put_right)
        ours = _run(folded, examples, (), lambda *_: None)
    except ModelError as raised:
        raise FoldError(f"the changed model does not run where the original does: {raised}") from raised
    for point, tensors in expected.items():
        for original in tensors:  # a layer that the folded model called less often
            compare(point, None, original)
    for a, b in zip_longest(ours, theirs):
        compare(None, a, b, layers=max(len(points), 1))
    errors: dict[str | None, float] = dict.fromkeys((*expected, None), 0.0)
    for name, error, allowed in found:
        if not error <= allowed:
            raise FoldError(
                f"the changed model must equal the original within {allowed:.1e} of the largest magnitude, but differs "
                f"by {error:.1e} at {name or 'the output'}: start from model.double(), or give fold a larger tolerance"
            )
        errors[name] = max(errors[name], error)
    return errors


def _run(
    model: nn.Module, examples: Sequence[Example], points: Collection[str], see: Callable[[str, Tensor], Any]
) -> list[Tensor]:
    """Run a copy of the model and return its outputs; what ``see`` returns at a point, if anything, goes on there."""
    copy = duplicate(model)
    for name in points:
        copy.get_submodule(name).register_forward_hook(lambda _module, _args, output, name=name: see(name, output))
    outputs = (t for example in examples for t in tensors_in(run(copy, example)))
    return [t for t in outputs if t.is_floating_point()]


def _run_itself(model: nn.Module, examples: Sequence[Example]) -> list[Tensor]:
    """Run the model as it was given and return its outputs; whatever the runs changed is put back."""
    outputs: list[Tensor] = []
    with preserved(model), torch.no_grad():
        for example in examples:
            outputs += [t.clone() for t in tensors_in(run(model, example)) if t.is_floating_point()]
    return outputs


def _difference(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest difference over the largest magnitude; infinities and NaN must be the same in both."""
    a, b = ours.double(), theirs.double()
    finite = a.isfinite() & b.isfinite()
    if not torch.allclose(a[~finite], b[~finite], equal_nan=True):
        return torch.inf
    a, b = a[finite], b[finite]
    difference, magnitude = (float(t.abs().amax()) if t.numel() else 0.0 for t in (a - b, b))
    return difference / magnitude if magnitude else difference
