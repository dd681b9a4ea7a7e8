"""The gradients once more in torch's own operators, for whoever differentiates them, batches them or traces them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..functional import batch_moments, batch_norm_backward
from ..functional._tensors import along_features, pooled_axes, widen
from .operators import ACTIVATION_NUMBERS, keeps_output

__all__ = ["before_activation", "by_formula", "differentiable_backward"]

_aten = torch.ops.aten


def _silu(dy: Tensor, z: Tensor) -> Tensor:
    s = z.sigmoid()  # torch's own has no derivative
    return dy * s * (1 + z * (1 - s))


# φ'(z) · dy; where only the sign of z counts, y may be given for it.
_SLOPES: dict[int, Callable[[Tensor, Tensor], Tensor]] = {
    ACTIVATION_NUMBERS["relu"]: lambda dy, z: _aten.threshold_backward(dy, z, 0),
    ACTIVATION_NUMBERS["leaky_relu"]: lambda dy, z: _aten.leaky_relu_backward(dy, z, 0.01, False),
    ACTIVATION_NUMBERS["silu"]: _silu,
    ACTIVATION_NUMBERS["gelu"]: lambda dy, z: _aten.gelu_backward(dy, z),
    ACTIVATION_NUMBERS["sigmoid"]: lambda dy, z: _aten.sigmoid_backward(dy, z.sigmoid()),
    ACTIVATION_NUMBERS["tanh"]: lambda dy, z: _aten.tanh_backward(dy, z.tanh()),
    ACTIVATION_NUMBERS["hardswish"]: lambda dy, z: _aten.hardswish_backward(dy, z),
    ACTIVATION_NUMBERS["relu6"]: lambda dy, z: _aten.hardtanh_backward(dy, z, 0, 6),
}


def differentiable_backward(
    dy: Tensor,
    x: Tensor,
    saved: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    statistics: Tensor | None,
    eps: float,
    activation: int,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return dx, dz, dγ, dβ, differentiable in dy, x, the residual, γ and β.

    Args:
        saved: the residual, or y where :func:`~steadynorm.kernels.operators.keeps_output` says so, or None.
        statistics: constant ones, as the operators give them; None for the batch's own.
        mask: with the batch's own statistics: what of it they are of.
    """
    gamma, beta = (None if v is None else widen(v) for v in (weight, bias))
    if statistics is None:
        moments = batch_moments(x, mask=mask)
        mean, inv_std = moments.mean, (moments.var + eps).rsqrt()
    else:
        mean, inv_std = statistics[0] + statistics[1], statistics[2]
    dz = dy
    if activation:
        if saved is not None and keeps_output(activation, saved):
            z = saved
        else:
            z = along_features(inv_std if gamma is None else inv_std * gamma, x) * (widen(x) - along_features(mean, x))
            z = z if beta is None else z + along_features(beta, x)
            z = z if saved is None else z + saved
        dz = _SLOPES[activation](dy, z).to(x.dtype)
    if statistics is None:
        dx, dgamma, dbeta = batch_norm_backward(dz, x, gamma, moments, eps=eps, mask=mask)
        return dx, dz, dgamma, dbeta
    wide = widen(dz)
    x_hat = (widen(x) - along_features(mean, x)) * along_features(inv_std, x)
    dx = wide * along_features(inv_std if gamma is None else inv_std * gamma, x)
    axes = pooled_axes(x)
    return dx.to(x.dtype), dz, (wide * x_hat).sum(axes), wide.sum(axes)


def by_formula(
    formula: Callable[..., Any], inputs: tuple[Tensor | None, ...], gradients: tuple[Tensor, ...]
) -> tuple[Tensor | None, ...]:
    """Return the gradients of the inputs by torch's own operators, differentiable where they are to be."""
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        outputs = formula(*inputs)
    wanted = [v for v in inputs if v is not None and v.requires_grad]
    found = iter(torch.autograd.grad(outputs, wanted, gradients, create_graph=differentiable))
    return tuple(next(found) if v is not None and v.requires_grad else None for v in inputs)


def before_activation(
    dy: Tensor, activation: int, saved: Tensor | None, formula: Callable[..., Tensor], inputs: tuple[Tensor | None, ...]
) -> Tensor:
    """Return dz, differentiable, for z = formula(*inputs) + r; ``saved`` as of :func:`differentiable_backward`."""
    if not activation:
        return dy
    if saved is not None and keeps_output(activation, saved):
        z = saved
    else:
        with torch.enable_grad():
            z = formula(*inputs)
            z = z if saved is None else z + saved
    return _SLOPES[activation](dy, z)
