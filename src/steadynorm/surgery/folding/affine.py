"""What a batch-norm layer is at inference: an affine map of each feature, and what the layer does after it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ... import functional
from ...functional.tensors import along_features
from ...nn.activations import ACTIVATIONS
from ...nn.base import NormBase
from ...nn.batchnorm import BatchNormBase

__all__ = [
    "Affine",
    "Tail",
    "affine_of",
    "has_activation",
    "is_batch_norm",
    "tail",
    "why_not_affine",
    "why_not_shift_invariant",
]

FORWARDS = (_BatchNorm.forward, nn.SyncBatchNorm.forward)
IN_EVALUATION = ("forward", "_normalize_by_running")  # what our layers compute with; kin of theirs may train otherwise
IN_BOTH_MODES = (*IN_EVALUATION, "_normalize_by_batch")
MODULES = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "hardswish": nn.Hardswish,
}


@dataclass(frozen=True)
class Affine:
    """y = scale · x + shift, both (C,) in float64."""

    scale: Tensor
    shift: Tensor


def is_batch_norm(module: nn.Module) -> bool:
    """Whether a module is a batch norm of torch, of ours or of a user, or a frozen one of any package."""
    return isinstance(module, _BatchNorm) or _is_frozen(module)


def _is_frozen(module: nn.Module) -> bool:
    return "FrozenBatchNorm" in type(module).__name__ and not isinstance(module, _BatchNorm)


def has_activation(module: nn.Module) -> bool:
    """Whether an activation follows inside of the layer."""
    return getattr(module, "activation", None) is not None


def why_not_affine(module: nn.Module, shapes: Iterable[tuple[int, ...]], *, bare: bool) -> str | None:
    """Say why a batch norm is no affine map with constants that can be read; None if it is one.

    Args:
        shapes: of the inputs that it has been given. A frozen layer, which may be anybody's, is tried on them.
        bare: whether every call gives it its input by position and nothing else.
    """
    if not _is_frozen(module):
        if not _is_plain(module, IN_EVALUATION):
            return f"{type(module).__name__} overrides forward"
        if module.training:
            return "in training mode: it normalizes with the batch's own statistics"
    if module.running_mean is None or module.running_var is None:
        return "keeps no running statistics: it normalizes with the batch's own"
    affine = affine_of(module)
    if affine.scale.dim() != 1 or affine.scale.shape != affine.shift.shape:
        return "its statistics are not one value a feature"
    if not bool(torch.isfinite(affine.scale + affine.shift).all()):
        return "its statistics or parameters give values that are not finite"
    if _is_frozen(module) and not bare and type(module).forward is not NormBase.forward:
        return f"{type(module).__name__} is given more than its input"
    if _is_frozen(module) and not all(_maps_affinely(module, affine, shape) for shape in set(shapes)):
        return f"{type(module).__name__} does more than scale and shift by its buffers"
    return None


def why_not_shift_invariant(module: nn.Module) -> str | None:
    """Say why a constant added to a feature, and to its running mean, might change what comes out; None if it cannot.

    With the batch's statistics the batch's mean takes it away, with the running ones the running mean.
    """
    if _is_frozen(module) or _is_plain(module, IN_BOTH_MODES):
        return None
    return f"{type(module).__name__} overrides forward"


@torch.no_grad()
def _maps_affinely(module: nn.Module, affine: Affine, shape: tuple[int, ...]) -> bool:
    """Try a layer on random input: does it compute activation(scale · x + shift) along axis 1?"""
    if len(shape) < 2 or shape[1] != len(affine.scale):
        return False
    like = module.running_mean
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator, dtype=torch.float64).to(like)  # type: ignore[arg-type]
    expected = x.double() * along_features(affine.scale, x) + along_features(affine.shift, x)
    if has_activation(module):
        expected = ACTIVATIONS[module.activation](expected)  # type: ignore[index]
    found = module(x)
    return found.shape == expected.shape and torch.allclose(found.double(), expected, rtol=1e-3, atol=1e-3)


def _is_plain(module: nn.Module, methods: Iterable[str]) -> bool:
    """Whether a batch norm computes what torch's or ours does; ``methods`` are those of ours that must be."""
    if "forward" in vars(module):
        return False
    kind = type(module)
    if isinstance(module, BatchNormBase):
        return all(getattr(kind, name) is getattr(BatchNormBase, name) for name in methods)
    return kind.forward in FORWARDS


@torch.no_grad()
def affine_of(module: nn.Module) -> Affine:
    """Return the affine map of a batch norm in evaluation, in float64."""
    mean, var = (getattr(module, name).double() for name in ("running_mean", "running_var"))
    gamma, beta = (None if t is None else t.double() for t in (module.weight, module.bias))
    return Affine(*functional.fold_affine(mean, var, gamma, beta, eps=module.eps))  # type: ignore[arg-type]


def tail(module: nn.Module, *, bare: bool) -> nn.Module:
    """Return what stands in the place of a folded layer: an activation, or nothing, as a module of torch's.

    Args:
        bare: whether every call gives it its input by position and nothing else; otherwise it is a :class:`Tail`.
    """
    activation = getattr(module, "activation", None)
    if not bare and isinstance(module, NormBase):
        return Tail(activation)
    return nn.Identity() if activation is None else MODULES[activation]()


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
