"""Batch normalization whose inference weighs in each example's own statistics, as a layer."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .. import kernels
from .._renamed import old_names
from ..functional._tensors import examples_apart
from ..functional.weighted import check_alpha, example_weighted_norm, mixed_moments
from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d, BatchNormBase
from .dispatch import code_for
from .finishing import finish, wide_affine

__all__ = ["ExampleWeightedBatchNorm1d", "ExampleWeightedBatchNorm2d", "ExampleWeightedBatchNorm3d"]


_POSITIONS = 32  # with 2 the kernels are slower, with 16 not always faster


class ExampleWeightedBatchNormBase(BatchNormBase):
    r"""Batch normalization in training; in evaluation each example's own statistics have a share α beside the running.

    .. math:: \mu_i = \alpha\,\mathrm E[x_i] + (1-\alpha)\,\mathrm E[x]

    In training an example is one of the m that make its statistics, in evaluation it is not: giving it a share again
    narrows the gap, the more the smaller m was. It needs no training: load a trained batch norm's state_dict and choose
    α on validation data.

    Reference: Summers & Dinneen 2020 (arXiv:1906.03548), *Inference Example Weighing*; the formula is
    :func:`steadynorm.functional.example_weighted_norm`.

    In evaluation it is no affine map with constants, so it cannot be folded into a convolution.

    Args:
        alpha: α, between 0 and 1; 0 is batch norm.
        others: as of :class:`steadynorm.nn.BatchNorm2d`, whose state_dict it shares.

    Raises: as batch norm does; ArgumentError for α.
    """

    def __init__(self, *args: Any, alpha: float, **others: Any) -> None:
        check_alpha(alpha)
        super().__init__(*args, **others)
        self.alpha = alpha

    def _normalize_by_running(self, x: Tensor, residual: Tensor | None, mask: Tensor | None) -> Tensor:
        return weighted_by_example(self, x, residual, mask, alpha=self.alpha)


def weighted_by_example(
    layer: BatchNormBase, x: Tensor, residual: Tensor | None, mask: Tensor | None, *, alpha: float
) -> Tensor:
    """Return activation(norm(x) + residual) by the layer's running statistics and, with the share α, each example's."""
    mean, var, weight, bias = layer._constants()
    if mask is None and code_for(x, residual, weight, bias, mean) == "kernel" and may_be_taken_apart(x):
        return fused_by_example(layer, x, residual, mean, var, alpha=alpha)
    y = example_weighted_norm(x, mean, var, *wide_affine(weight, bias), alpha=alpha, eps=layer.eps, mask=mask)
    return finish(y, residual, layer.activation)


def may_be_taken_apart(x: Tensor) -> bool:
    """Tell whether each example's features may be features of their own to the kernels.

    Without a copy; where they have so many positions that it pays; and where gradients that come in parts, each of them
    rounded, lose nothing.
    """
    lies_so = x.is_contiguous() and x.shape[2:].numel() >= _POSITIONS
    return lies_so and not (x.dtype is torch.bfloat16 and torch.is_grad_enabled())


def fused_by_example(
    layer: BatchNormBase, x: Tensor, residual: Tensor | None, mean: Tensor, var: Tensor, *, alpha: float
) -> Tensor:
    """Return the same by the kernels, for any mean and variance beside the example's own; gradients flow to these."""
    apart, n = examples_apart(x), len(x)
    own = kernels.measure(apart)
    mixed = mixed_moments(mean.double().repeat(n), var.double().repeat(n), own.mean, own.var, alpha=alpha)
    gamma, beta = (None if v is None else v.repeat(n) for v in (layer.weight, layer.bias))
    beside = None if residual is None else examples_apart(residual)
    y = kernels.normalize_by(apart, beside, gamma, beta, mixed.mean, mixed.var, layer.eps, layer.activation)
    return y.view(x.shape)


class ExampleWeightedBatchNorm1d(ExampleWeightedBatchNormBase, BatchNorm1d):
    """For (N, C) or (N, C, L) input; all else as in :class:`ExampleWeightedBatchNormBase`."""


class ExampleWeightedBatchNorm2d(ExampleWeightedBatchNormBase, BatchNorm2d):
    """For (N, C, H, W) input; all else as in :class:`ExampleWeightedBatchNormBase`."""


class ExampleWeightedBatchNorm3d(ExampleWeightedBatchNormBase, BatchNorm3d):
    """For (N, C, D, H, W) input; all else as in :class:`ExampleWeightedBatchNormBase`."""


OLD_NAMES = {f"ExampleWeighedBatchNorm{d}d": f"ExampleWeightedBatchNorm{d}d" for d in (1, 2, 3)}

if not TYPE_CHECKING:
    __getattr__ = old_names(__name__, OLD_NAMES)
