"""The operators ``torch.ops.steadynorm.*``: schemas, and shapes without data. Their code for the CPU is built.

Letters: x the input (N, C, *S), r the residual, z = γ x̂ + β + r, y = φ(z) with the activation φ. ``statistics`` is
(3, C): the mean, what the mean lost by rounding, 1/√(σ² + ε); in float32, or float64 for float64. Activations are
numbers, :data:`ACTIVATION_NUMBERS`.

==================  ==================================================================================================
``forward``         y and statistics, by the batch's own; moves the running statistics in place, if any are given, as
                    ``functional/running.py`` does
``forward_``        the same with y in the place of x; statistics alone are returned
``recover``         x, from the y that ``forward_`` left, where :data:`INVERTIBLE` has the activation
``normalize``       y by given mean and variance, and the statistics that they are
``backward``        dx, dz, dγ, dβ of them all; z is computed anew
``moments``         mean and biased variance alone, (2, C) in float64
``move``            running statistics moved in place towards given ones; on every device (``running.py``)
``backward_apply``  dx alone, by dγ and dβ that were summed elsewhere too
``ghost``           ``forward`` of every few examples in a row by their own statistics, (pieces, 3, C) of them; the
                    running statistics move towards those of the whole batch
``ghost_backward``  ``backward`` of it
``mix``             φ(M (x − μ) + shift + r), where the matrices M, (groups, C/groups, C/groups), mix neighbours
``norms``           (5, C) in float64: the mean; Σ|v|, or max|v| if ``infinite``, each in its row; Σ f and Σ|f|. v is x,
                    or x − μ if ``centred``; f is the sign of v, or that of the largest ones, else 0
``norms_backward``  ``backward`` by statistics that are the mean and a norm
``batch_norm``      for tracers, since it is differentiable and changes nothing: y, statistics, biased variance
``inference``       for tracers, ``normalize`` that is differentiable
==================  ==================================================================================================

``moments``, ``normalize``, a ``backward`` that wants neither dx nor dz, and ``backward_apply`` are the same in parts,
for whoever has to put sums together in between.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["ACTIVATION_NUMBERS", "INVERTIBLE", "LIBRARY", "keeps_output", "moments", "operators"]

_ACTIVATIONS = (None, "relu", "leaky_relu", "silu", "gelu", "sigmoid", "tanh", "hardswish", "relu6")  # as in the C++
ACTIVATION_NUMBERS: dict[str | None, int] = {name: number for number, name in enumerate(_ACTIVATIONS)}
INVERTIBLE = frozenset({None, "leaky_relu"})
"""Activations that lose nothing: z is known from y to the last places. Those that flatten out do lose."""

_TOLD_BY_OUTPUT = {ACTIVATION_NUMBERS[name] for name in ("relu", "leaky_relu")}

LIBRARY: Any = torch.library.Library("steadynorm", "DEF")  # type: ignore[no-untyped-call]
_PARTNERS = "Tensor? residual, Tensor? weight, Tensor? bias"
_RUNNING = (
    "Tensor(a!)? running_mean, Tensor(b!)? running_var, Tensor(c!)? num_batches_tracked, Tensor(d!)? skipped_updates, "
    "float? momentum, float eps, int activation"
)
_GRADIENT = "Tensor dy, Tensor x, Tensor? saved, Tensor? weight, Tensor? bias, Tensor statistics, int activation"
for _schema in (
    f"forward(Tensor x, {_PARTNERS}, {_RUNNING}) -> (Tensor, Tensor)",
    f"forward_(Tensor(e!) x, {_PARTNERS}, {_RUNNING}) -> Tensor",
    "recover(Tensor y, Tensor? weight, Tensor? bias, Tensor statistics, int activation) -> Tensor",
    f"normalize(Tensor x, {_PARTNERS}, Tensor mean, Tensor var, float eps, int activation) -> (Tensor, Tensor)",
    f"backward({_GRADIENT}, bool constant, bool want_dx, bool want_dz) -> (Tensor, Tensor, Tensor, Tensor)",
    "moments(Tensor x) -> Tensor",
    "move(Tensor(a!) running_mean, Tensor(b!) running_var, Tensor(c!) num_batches_tracked, Tensor(d!) skipped_updates, "
    "Tensor mean, Tensor var, Tensor? count, bool bessel, float? momentum) -> ()",
    f"backward_apply({_GRADIENT}, Tensor dgamma, Tensor dbeta, float count) -> Tensor",
    f"ghost(Tensor x, {_PARTNERS}, {_RUNNING}, int examples) -> (Tensor, Tensor)",
    f"ghost_backward({_GRADIENT}, int examples, bool want_dx, bool want_dz) -> (Tensor, Tensor, Tensor, Tensor)",
    "mix(Tensor x, Tensor? residual, Tensor matrix, Tensor mean, Tensor? shift, int activation) -> Tensor",
    "norms(Tensor x, bool infinite, bool centred) -> Tensor",
    f"norms_backward({_GRADIENT}, Tensor norms, bool infinite, bool centred, bool want_dx, bool want_dz) "
    "-> (Tensor, Tensor, Tensor, Tensor)",
    f"batch_norm(Tensor x, {_PARTNERS}, float eps, int activation) -> (Tensor, Tensor, Tensor)",
    f"inference(Tensor x, {_PARTNERS}, Tensor mean, Tensor var, float eps, int activation) -> (Tensor, Tensor)",
):
    LIBRARY.define(_schema, tags=(torch.Tag.pt2_compliant_tag,))

operators = torch.ops.steadynorm


def moments(x: Tensor) -> Tensor:
    """Return mean and biased variance of each feature, (2, C) in float64."""
    found: Tensor = operators.moments.default(x)
    return found


def keeps_output(activation: int, residual: Tensor | None) -> bool:
    """Tell whether the gradient of the activation takes y, rather than x alone or x and the residual."""
    return residual is not None and activation in _TOLD_BY_OUTPUT


def _statistics(x: Tensor, *shape: int | torch.SymInt) -> Tensor:
    return x.new_empty(shape, dtype=torch.promote_types(x.dtype, torch.float32))


def _like(x: Tensor) -> Tensor:
    """Return what tensors.h makes beside x: of the same strides if x is dense in planes or rows, else contiguous."""
    dense = x.is_contiguous() or x.movedim(1, -1).is_contiguous()
    return x.new_empty_strided(x.shape, x.stride()) if dense else x.new_empty(x.shape)


def _forward_shapes(x: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return _like(x), _statistics(x, 3, x.shape[1])


def _ghost_shapes(x: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    examples = others[-1]
    return _like(x), _statistics(x, -(-x.shape[0] // examples), 3, x.shape[1])


def _backward_shapes(dy: Tensor, x: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    *_, want_dx, want_dz = others
    dx, dz = (_like(x) if wanted else x.new_empty((0,)) for wanted in (want_dx, want_dz))
    return dx, dz, _statistics(x, x.shape[1]), _statistics(x, x.shape[1])


_SHAPES: dict[str, Callable[..., Any]] = {
    "forward": _forward_shapes,
    "forward_": lambda x, *_: _statistics(x, 3, x.shape[1]),
    "recover": lambda y, *_: _like(y),
    "normalize": _forward_shapes,
    "backward": _backward_shapes,
    "moments": lambda x: x.new_empty((2, x.shape[1]), dtype=torch.float64),
    "move": lambda *_: None,
    "backward_apply": lambda dy, x, *_: _like(x),
    "ghost": _ghost_shapes,
    "ghost_backward": _backward_shapes,
    "mix": lambda x, *_: _like(x),
    "norms": lambda x, *_: x.new_empty((5, x.shape[1]), dtype=torch.float64),
    "norms_backward": _backward_shapes,
    "batch_norm": lambda x, *_: (*_forward_shapes(x), _statistics(x, x.shape[1])),
    "inference": _forward_shapes,
}
for _name, _shapes in _SHAPES.items():
    torch.library.register_fake(f"steadynorm::{_name}", _shapes, lib=LIBRARY)
