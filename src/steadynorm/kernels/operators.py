"""The operators ``torch.ops.steadynorm.*``: schemas, shapes without data, gradients. Their code for the CPU is built.

Letters: x the input (N, C, *S), r the residual, z = γ x̂ + β + r, y = φ(z) with the activation φ. ``statistics`` is
(3, C): the mean, what the mean lost by rounding, 1/√(σ² + ε); in float32, or float64 for float64. Activations are
numbers, :data:`ACTIVATION_NUMBERS`.

=========================  =====================================================================================
``batch_norm``             y, statistics and biased variance of the batch; differentiable
``batch_norm_tracking``    y and statistics; moves the running statistics in place, as ``functional/running.py`` does
``normalize``              y by given mean and variance, and the statistics that they are; differentiable
``backward``               dx, dz, dγ, dβ of the three; z is computed anew
``moments``                mean and biased variance alone, (2, C) in float64
``backward_apply``         dx alone, by dγ and dβ that were summed elsewhere too
=========================  =====================================================================================

The last two, with ``normalize`` and a ``backward`` that wants neither dx nor dz, are the same in parts, for whoever has
to put sums together in between.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["ACTIVATION_NUMBERS", "LIBRARY", "keeps_output", "operators"]

ACTIVATION_NUMBERS: dict[str | None, int] = {
    None: 0,
    "relu": 1,
    "leaky_relu": 2,
    "silu": 3,
    "gelu": 4,
    "sigmoid": 5,
    "tanh": 6,
    "hardswish": 7,
}
_TOLD_BY_OUTPUT = {ACTIVATION_NUMBERS[name] for name in ("relu", "leaky_relu")}

LIBRARY = torch.library.Library("steadynorm", "DEF")  # type: ignore[no-untyped-call]
_INPUTS = "Tensor x, Tensor? residual, Tensor? weight, Tensor? bias"
_GRADIENT = "Tensor dy, Tensor x, Tensor? saved, Tensor? weight, Tensor? bias, Tensor statistics, int activation"
for _schema in (
    f"batch_norm({_INPUTS}, float eps, int activation) -> (Tensor, Tensor, Tensor)",
    f"batch_norm_tracking({_INPUTS}, Tensor(a!) running_mean, Tensor(b!) running_var, "
    "Tensor(c!)? num_batches_tracked, Tensor(d!) skipped_updates, float? momentum, float eps, int activation) "
    "-> (Tensor, Tensor)",
    f"normalize({_INPUTS}, Tensor mean, Tensor var, float eps, int activation) -> (Tensor, Tensor)",
    f"backward({_GRADIENT}, bool constant, bool want_dx, bool want_dz) -> (Tensor, Tensor, Tensor, Tensor)",
    "moments(Tensor x) -> Tensor",
    f"backward_apply({_GRADIENT}, Tensor dgamma, Tensor dbeta, float count) -> Tensor",
):
    LIBRARY.define(_schema, tags=(torch.Tag.pt2_compliant_tag,))  # type: ignore[no-untyped-call]

operators = torch.ops.steadynorm


def keeps_output(activation: int, residual: Tensor | None) -> bool:
    """Tell whether the gradient of the activation takes y, rather than x alone or x and the residual."""
    return residual is not None and activation in _TOLD_BY_OUTPUT


def _statistics(x: Tensor, *shape: int | torch.SymInt) -> Tensor:
    return x.new_empty(shape, dtype=torch.promote_types(x.dtype, torch.float32))


def _by_batch_shapes(x: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), _statistics(x, 3, x.shape[1]), _statistics(x, x.shape[1])


def _forward_shapes(x: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), _statistics(x, 3, x.shape[1])


def _backward_shapes(
    dy: Tensor,
    x: Tensor,
    saved: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    statistics: Tensor,
    activation: int,
    constant: bool,
    want_dx: bool,
    want_dz: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    dx, dz = (torch.empty_like(x) if wanted else x.new_empty((0,)) for wanted in (want_dx, want_dz))
    return dx, dz, _statistics(x, x.shape[1]), _statistics(x, x.shape[1])


_SHAPES: dict[str, Callable[..., Any]] = {
    "batch_norm": _by_batch_shapes,
    "batch_norm_tracking": _forward_shapes,
    "normalize": _forward_shapes,
    "backward": _backward_shapes,
    "moments": lambda x: x.new_empty((2, x.shape[1]), dtype=torch.float64),
    "backward_apply": lambda dy, x, *_: torch.empty_like(x),
}
for _name, _shapes in _SHAPES.items():
    torch.library.register_fake(f"steadynorm::{_name}", _shapes, lib=LIBRARY)
