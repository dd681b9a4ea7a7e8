"""What a batch-norm layer is at inference: an affine map of each feature, and what the layer does after it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ... import functional
from ...nn.base import NormBase
from ...nn.finishing import ACTIVATIONS, MODULES
from ..layers import Layer

__all__ = ["Affine", "Tail", "affine_of", "tail"]


@dataclass(frozen=True)
class Affine:
    """y = scale · x + shift, both (C,) in float64."""

    scale: Tensor
    shift: Tensor


@torch.no_grad()
def affine_of(norm: Layer) -> Affine:
    """Return the affine map of a batch norm in evaluation, in float64."""
    module = norm.module
    gamma, beta = (None if t is None else t.double() for t in (module.weight, module.bias))
    mean, var = module.running_mean.double(), module.running_var.double()
    return Affine(*functional.fold_affine(mean, var, gamma, beta, eps=module.eps))


def tail(norm: Layer, *, bare: bool) -> nn.Module:
    """Return what stands in the place of a folded layer: an activation as a module of torch's, or nothing.

    Of another maker's layer it is what followed in it.

    Args:
        bare: whether every call gives it its input by position and nothing else; otherwise it is a :class:`Tail`.
    """
    if isinstance(norm.module, NormBase):
        after: list[nn.Module] = [] if norm.activation is None else [MODULES[norm.activation]()]
        if not bare:
            return Tail(norm.activation)
    else:
        after = norm.after
    return nn.Identity() if not after else after[0] if len(after) == 1 else nn.Sequential(*after)


class Tail(nn.Module):
    """What one of our layers does after normalizing: activation(x + residual), and 0 where the mask is False."""

    def __init__(self, activation: str | None) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor, residual: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Shape: x, residual and the result (N, C, *S), mask broadcastable to (N, 1, *S)."""
        if residual is not None:
            x = x + residual
        if self.activation is not None:
            x = ACTIVATIONS[self.activation](x)
        return x if mask is None else torch.where(mask, x, 0)

    def extra_repr(self) -> str:
        """Return the activation."""
        return f"activation={self.activation}"
