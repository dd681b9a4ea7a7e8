"""The kernels under autograd: eagerly through ``autograd.Function``, under ``torch.compile`` through the operators.

They share everything but the way in; a function is the faster one, and a custom operator may change running statistics
only where nothing is differentiated. What is called at every step calls its operator itself: a Python frame more is
felt in small layers.

Letters: x the input, r the residual, γ and β scale and shift, μ and σ² mean and biased variance, φ the activation,
y = φ(γ (x − μ)/√(σ² + ε) + β + r).
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from .._torch import SingleLevelFunction, plain
from ..functional import RunningStatistics
from .differentiable import differentiable_backward
from .operators import ACTIVATION_NUMBERS, LIBRARY, keeps_output, operators

__all__ = ["NOTHING", "Gradients", "batch_norm", "batch_norm_traced", "gradients", "keep", "needed", "normalize"]

Gradients = tuple[Tensor | None, ...]

NOTHING = (None,) * 4
"""In the place of running statistics: none are there, or none are to move."""


def batch_norm(
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    running: RunningStatistics | None,
    momentum: float | None,
    eps: float,
    activation: str | None,
) -> Tensor:
    """Return y by the batch's statistics; move the running ones, if any, in place."""
    number = ACTIVATION_NUMBERS[activation]
    if torch.is_grad_enabled():
        return _BatchNorm.apply(x, residual, weight, bias, running, momentum, eps, number)
    results = operators.forward.default(x, residual, weight, bias, *(running or NOTHING), momentum, eps, number)
    if running is not None:
        increment_version(running)
    y: Tensor = results[0]
    return y


def batch_norm_traced(
    x: Tensor, residual: Tensor | None, weight: Tensor | None, bias: Tensor | None, eps: float, activation: str | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return y and the batch's mean and biased variance, by an operator that tracers keep whole."""
    number = ACTIVATION_NUMBERS[activation]
    y, statistics, var = operators.batch_norm.default(x, residual, weight, bias, eps, number)
    return y, statistics[0], var


def normalize(
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    var: Tensor,
    eps: float,
    activation: str | None,
    *,
    traced: bool = False,
) -> Tensor:
    """Return y by statistics that are constant; ``traced``: by an operator that tracers keep whole."""
    number = ACTIVATION_NUMBERS[activation]
    if torch.is_grad_enabled() and not traced:
        return _Normalize.apply(x, residual, weight, bias, mean, var, eps, number)
    operator = operators.inference if traced else operators.normalize
    y: Tensor = operator.default(x, residual, weight, bias, mean, var, eps, number)[0]
    return y


class _BatchNorm(SingleLevelFunction):
    @staticmethod
    def forward(ctx: Any, x: Any, residual: Any, weight: Any, bias: Any, running: Any, momentum: Any, eps: Any, activation: Any) -> Tensor:  # noqa: E501  # fmt: skip
        y: Tensor
        moving = running or NOTHING
        y, statistics = operators.forward.default(x, residual, weight, bias, *moving, momentum, eps, activation)
        if running is not None:
            increment_version(running)
        keep(ctx, x, residual, weight, bias, y, statistics, eps, activation)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Gradients:
        return (*gradients(ctx, dy, constant=False), None, None, None, None)


class _Normalize(SingleLevelFunction):
    @staticmethod
    def forward(ctx: Any, x: Any, residual: Any, weight: Any, bias: Any, mean: Any, var: Any, eps: Any, activation: Any) -> Tensor:  # noqa: E501  # fmt: skip
        y: Tensor
        y, statistics = operators.normalize.default(x, residual, weight, bias, mean, var, eps, activation)
        keep(ctx, x, residual, weight, bias, y, statistics, eps, activation)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Gradients:
        return (*gradients(ctx, dy, constant=True), None, None, None, None)


def keep(
    ctx: Any,
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    y: Tensor,
    statistics: Tensor,
    eps: float,
    activation: int,
    mask: Tensor | None = None,
) -> None:
    """Keep what the gradients need: x, three numbers a feature, and with a residual whichever tensor gives φ'."""
    saved = None
    if activation:
        saved = y if keeps_output(activation, residual) else residual
    ctx.save_for_backward(x, saved, weight, bias if activation else None, statistics, mask)
    ctx.eps, ctx.activation = eps, activation
    ctx.weight_dtype = None if weight is None else weight.dtype
    ctx.bias_dtype = None if bias is None else bias.dtype


def gradients(ctx: Any, dy: Tensor, *, constant: bool) -> Gradients:
    """Return the gradients of x, residual, γ and β that are needed; those beside ``constant`` statistics if so."""
    x, saved, weight, bias, statistics, mask = ctx.saved_tensors
    wants_x, wants_residual, *_ = ctx.needs_input_grad
    if torch.is_grad_enabled() or not plain():
        given = statistics if constant else None
        results = differentiable_backward(dy, x, saved, weight, bias, given, ctx.eps, ctx.activation, mask)
    else:
        wants_dz = wants_residual and ctx.activation != 0
        what = dy, x, saved, weight, bias, statistics, ctx.activation
        results = operators.backward.default(*what, constant, wants_x, wants_dz)
    return needed(ctx, dy, *results)


def needed(ctx: Any, dy: Tensor, dx: Tensor | None, dz: Tensor | None, dgamma: Tensor, dbeta: Tensor) -> Gradients:
    """Return the gradients of x, residual, γ and β that are needed, in the dtypes of what they are of."""
    wants_x, wants_residual, wants_weight, wants_bias = ctx.needs_input_grad[:4]
    if ctx.activation == 0:
        dz = dy
    return (
        dx if wants_x else None,
        dz if wants_residual else None,
        _in(ctx.weight_dtype, dgamma) if wants_weight else None,
        _in(ctx.bias_dtype, dbeta) if wants_bias else None,
    )


def _in(dtype: torch.dtype, v: Tensor) -> Tensor:
    return v if v.dtype is dtype else v.to(dtype)


def _set_up(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
    keep(ctx, *inputs[:4], *output[:2], *inputs[-2:])  # x, r, γ, β; y, statistics; ε, activation


torch.library.register_autograd(
    "steadynorm::batch_norm",
    lambda ctx, dy, _, __: (*gradients(ctx, dy, constant=False), None, None),
    setup_context=_set_up,
    lib=LIBRARY,
)
torch.library.register_autograd(
    "steadynorm::inference",
    lambda ctx, dy, _: (*gradients(ctx, dy, constant=True), None, None, None, None),
    setup_context=_set_up,
    lib=LIBRARY,
)
