"""The kernels under autograd: eagerly through ``autograd.Function``, under ``torch.compile`` through the operators.

They share everything but the way in; a function is the faster one, and a custom operator may change running statistics
only where nothing is differentiated.

Letters: x the input, r the residual, γ and β scale and shift, μ and σ² mean and biased variance, φ the activation,
y = φ(γ (x − μ)/√(σ² + ε) + β + r).
"""

from typing import Any

import torch
from torch import Tensor

from ..functional import RunningStatistics
from .differentiable import differentiable_backward
from .modes import plain
from .operators import ACTIVATION_NUMBERS, LIBRARY, keeps_output, operators

__all__ = [
    "Function",
    "Gradients",
    "batch_norm",
    "batch_norm_traced",
    "compute",
    "gradients",
    "inference",
    "inference_traced",
    "keep",
    "needed",
]

Gradients = tuple[Tensor | None, ...]

Function: Any = getattr(torch.autograd.function, "_SingleLevelFunction", torch.autograd.Function)
"""``torch.autograd.Function`` without what its ``apply`` does about functorch's transforms, in which the layers take
torch's operators: that would cost as much again as the rest of a call's way through Python."""


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
        return _ByBatch.apply(x, residual, weight, bias, running, momentum, eps, number)  # type: ignore[no-any-return]
    return compute(x, residual, weight, bias, running, momentum, eps, number)[0]  # type: ignore[no-any-return]


def inference(
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    var: Tensor,
    eps: float,
    activation: str | None,
) -> Tensor:
    """Return y by statistics that are constant."""
    number = ACTIVATION_NUMBERS[activation]
    if torch.is_grad_enabled():
        return _ByStatistics.apply(x, residual, weight, bias, mean, var, eps, number)  # type: ignore[no-any-return]
    return operators.normalize.default(x, residual, weight, bias, mean, var, eps, number)[0]  # type: ignore[no-any-return]


def batch_norm_traced(
    x: Tensor, residual: Tensor | None, weight: Tensor | None, bias: Tensor | None, eps: float, activation: str | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return y and the batch's mean and biased variance, by an operator that tracers keep whole."""
    number = ACTIVATION_NUMBERS[activation]
    y, statistics, var = operators.batch_norm.default(x, residual, weight, bias, eps, number)
    return y, statistics[0], var


def inference_traced(
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    var: Tensor,
    eps: float,
    activation: str | None,
) -> Tensor:
    """Return y by given statistics, by an operator that tracers keep whole."""
    number = ACTIVATION_NUMBERS[activation]
    return operators.inference.default(x, residual, weight, bias, mean, var, eps, number)[0]  # type: ignore[no-any-return]


def compute(
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    running: RunningStatistics | None,
    momentum: float | None,
    eps: float,
    activation: int,
    *,
    overwrite: bool = False,
) -> Any:
    """Return y and statistics, or statistics alone with y in the place of x."""
    operator = operators.forward_.default if overwrite else operators.forward.default
    changed = (None,) * 4 if running is None else running
    results = operator(x, residual, weight, bias, *changed, momentum, eps, activation)
    if running is not None:
        torch.autograd.graph.increment_version(running)
    return results


class _ByBatch(Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, x: Any, residual: Any, weight: Any, bias: Any, running: Any, momentum: Any, eps: Any, activation: Any) -> Tensor:  # noqa: E501  # fmt: skip
        y, statistics = compute(x, residual, weight, bias, running, momentum, eps, activation)
        keep(ctx, x, residual, weight, bias, y, statistics, eps, activation)
        return y  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Gradients:
        return (*gradients(ctx, dy, constant=False), None, None, None, None)


class _ByStatistics(Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, x: Any, residual: Any, weight: Any, bias: Any, mean: Any, var: Any, eps: Any, activation: Any) -> Tensor:  # noqa: E501  # fmt: skip
        y, statistics = operators.normalize.default(x, residual, weight, bias, mean, var, eps, activation)
        keep(ctx, x, residual, weight, bias, y, statistics, eps, activation)
        return y  # type: ignore[no-any-return]

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
        results = operators.backward.default(
            dy, x, saved, weight, bias, statistics, ctx.activation, constant, wants_x, wants_dz
        )
    return needed(ctx, dy, *results)


def needed(
    ctx: Any, dy: Tensor, dx: Tensor | None, dz: Tensor | None, dgamma: Tensor, dbeta: Tensor
) -> tuple[Tensor | None, ...]:
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


def _setup_by_batch(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, residual, weight, bias, eps, activation = inputs
    keep(ctx, x, residual, weight, bias, *output[:2], eps, activation)


def _setup_by_statistics(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, residual, weight, bias, _, _, eps, activation = inputs
    keep(ctx, x, residual, weight, bias, *output, eps, activation)


torch.library.register_autograd(
    "steadynorm::batch_norm",
    lambda ctx, dy, _, __: (*gradients(ctx, dy, constant=False), None, None),
    setup_context=_setup_by_batch,
    lib=LIBRARY,
)
torch.library.register_autograd(
    "steadynorm::inference",
    lambda ctx, dy, _: (*gradients(ctx, dy, constant=True), None, None, None, None),
    setup_context=_setup_by_statistics,
    lib=LIBRARY,
)
