"""The kernels under autograd: eagerly through an ``autograd.Function``, under ``torch.compile`` through the operators.

The two share everything but the way in; the function is the faster one, and a custom operator may change running
statistics only where nothing is differentiated.
"""

from typing import Any

import torch
from torch import Tensor

from ..functional.running import RunningStatistics
from .differentiable import differentiable_backward
from .modes import plain
from .operators import ACTIVATION_NUMBERS, LIBRARY, keeps_output, operators

__all__ = ["batch_norm", "batch_norm_traced", "inference", "inference_traced"]

Gradients = tuple[Tensor | None, ...]


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
    """Normalize by the batch, add the residual, apply the activation; move the running statistics, if any, in place."""
    number = ACTIVATION_NUMBERS[activation]
    if torch.is_grad_enabled():
        return _ByBatch.apply(x, residual, weight, bias, running, momentum, eps, number)  # type: ignore[no-any-return, no-untyped-call]
    return _by_batch(x, residual, weight, bias, running, momentum, eps, number)[0]


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
    """Normalize by given statistics, add the residual, apply the activation."""
    number = ACTIVATION_NUMBERS[activation]
    if torch.is_grad_enabled():
        return _ByStatistics.apply(x, residual, weight, bias, mean, var, eps, number)  # type: ignore[no-any-return, no-untyped-call]
    return operators.normalize.default(x, residual, weight, bias, mean, var, eps, number)[0]  # type: ignore[no-any-return]


def _by_batch(
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    running: RunningStatistics | None,
    momentum: float | None,
    eps: float,
    activation: int,
) -> tuple[Tensor, Tensor]:
    if running is None:
        return operators.batch_norm.default(x, residual, weight, bias, eps, activation)[:2]  # type: ignore[no-any-return]
    results = operators.batch_norm_tracking.default(x, residual, weight, bias, *running, momentum, eps, activation)
    torch.autograd.graph.increment_version([v for v in running if v is not None])
    return results  # type: ignore[no-any-return]


class _ByBatch(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, residual: Any, weight: Any, bias: Any, running: Any, momentum: Any, eps: Any, activation: Any) -> Tensor:  # noqa: E501  # fmt: skip
        y, statistics = _by_batch(x, residual, weight, bias, running, momentum, eps, activation)
        _keep(ctx, x, residual, weight, bias, y, statistics, eps, activation, constant=False)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Gradients:
        return (*_gradients(ctx, dy), None, None, None, None)


class _ByStatistics(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, residual: Any, weight: Any, bias: Any, mean: Any, var: Any, eps: Any, activation: Any) -> Tensor:  # noqa: E501  # fmt: skip
        y, statistics = operators.normalize.default(x, residual, weight, bias, mean, var, eps, activation)
        _keep(ctx, x, residual, weight, bias, y, statistics, eps, activation, constant=True)
        return y  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Gradients:
        return (*_gradients(ctx, dy), None, None, None, None)


def _keep(
    ctx: Any,
    x: Tensor,
    residual: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    y: Tensor,
    statistics: Tensor,
    eps: float,
    activation: int,
    *,
    constant: bool,
) -> None:
    """Keep what the gradients need: x, three numbers a feature, and with a residual whichever tensor gives φ'."""
    saved = None
    if activation:
        saved = y if keeps_output(activation, residual) else residual
    ctx.save_for_backward(x, saved, weight, bias if activation else None, statistics)
    ctx.eps, ctx.activation, ctx.constant = eps, activation, constant
    ctx.bias_dtype = None if bias is None else bias.dtype


def _gradients(ctx: Any, dy: Tensor) -> Gradients:
    """Gradients of x, residual, γ and β, those that are needed."""
    x, saved, weight, bias, statistics = ctx.saved_tensors
    wants_x, wants_residual, wants_weight, wants_bias = ctx.needs_input_grad[:4]
    if torch.is_grad_enabled() or not plain():
        dx, dz, dgamma, dbeta = differentiable_backward(
            dy, x, saved, weight, bias, statistics if ctx.constant else None, ctx.eps, ctx.activation
        )
    else:
        wants_dz = wants_residual and ctx.activation != 0
        dx, dz, dgamma, dbeta = operators.backward.default(
            dy, x, saved, weight, bias, statistics, ctx.activation, ctx.constant, wants_x, wants_dz
        )
    if ctx.activation == 0:
        dz = dy
    return (
        dx if wants_x else None,
        dz if wants_residual else None,
        dgamma.to(weight.dtype) if wants_weight else None,
        dbeta.to(ctx.bias_dtype) if wants_bias else None,
    )


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
    return operators.normalize.default(x, residual, weight, bias, mean, var, eps, number)[0]  # type: ignore[no-any-return]


def _setup_by_batch(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, residual, weight, bias, eps, activation = inputs
    _keep(ctx, x, residual, weight, bias, *output[:2], eps, activation, constant=False)


def _setup_by_statistics(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, residual, weight, bias, _, _, eps, activation = inputs
    _keep(ctx, x, residual, weight, bias, *output, eps, activation, constant=True)


torch.library.register_autograd(
    "steadynorm::batch_norm",
    lambda ctx, dy, _, __: (*_gradients(ctx, dy), None, None),
    setup_context=_setup_by_batch,
    lib=LIBRARY,
)
torch.library.register_autograd(
    "steadynorm::normalize",
    lambda ctx, dy, _: (*_gradients(ctx, dy), None, None, None, None),
    setup_context=_setup_by_statistics,
    lib=LIBRARY,
)
