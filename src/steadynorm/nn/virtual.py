"""Virtual batch normalization, with a reference batch, as a layer."""

from typing import Any

import torch
from torch import Tensor

from .. import kernels
from ..errors import ShapeError
from ..functional import Moments, RunningStatistics
from ..functional.virtual import check_reference_size, virtual_batch_norm
from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d, BatchNormBase
from .finishing import Affine
from .method import MethodBase
from .moving import move
from .naming import describe
from .weighted import fused_by_example, may_be_taken_apart, weighted_by_example

__all__ = ["VirtualBatchNorm1d", "VirtualBatchNorm2d", "VirtualBatchNorm3d"]


class VirtualBatchNormBase(MethodBase):
    r"""Batch normalization of each example with a fixed reference batch instead of its companions.

    .. math:: \mu_i = \frac{1}{n+1}\,\mathrm E[x_i] + \frac{n}{n+1}\,\mu_R

    In training the first n = ``reference_size`` examples of every batch are the reference: choose them once, put them
    before each batch, and take their outputs away::

        y = model(torch.cat([reference, x]))[len(reference):]

    They pass through all layers with the weights of the moment, and are normalized by themselves. In evaluation no
    reference is given: its statistics are the running ones. These average over the last training steps, in which the
    reference is the same and the weights move; with ``momentum=1`` they are those of the last step.

    Reference: Salimans et al. 2016 (arXiv:1606.03498), Sec 3.4; the formula is
    :func:`steadynorm.functional.virtual_batch_norm`.

    In evaluation it is no affine map with constants, so it is neither folded nor frozen.

    Args:
        reference_size: n, 1 or more.
        others: as of :class:`steadynorm.nn.BatchNorm2d`, whose state_dict it shares.

    Raises: as batch norm does; ArgumentError for the size; ShapeError in training where the reference would hold one
    value a feature.
    """

    def __init__(self, *args: Any, reference_size: int, **others: Any) -> None:
        check_reference_size(reference_size)
        super().__init__(*args, **others)
        self.reference_size = reference_size

    def _normalize_by_batch(self, x: Tensor, residual: Tensor | None, mask: Tensor | None) -> Tensor:
        if self.training or self.running_mean is None:
            return super()._normalize_by_batch(x, residual, mask)
        return BatchNormBase._normalize_by_batch(self, x, residual, mask)  # a batch without a reference, by itself

    def _transform(self, x: Tensor, affine: Affine, mask: Tensor | None) -> tuple[Tensor, Moments]:
        return virtual_batch_norm(x, *affine, reference_size=self.reference_size, eps=self.eps, mask=mask)

    def _fused(self, x: Tensor, residual: Tensor | None, moving: RunningStatistics | None) -> Tensor | None:
        n, affine = int(self.reference_size), (self.weight, self.bias)
        if len(x) <= n:
            return kernels.batch_norm(x, residual, *affine, moving, self.momentum, self.eps, self.activation)
        if not may_be_taken_apart(x):
            return None
        sizes = [n, len(x) - n]
        reference, others = torch.split(x, sizes)
        beside = (None, None) if residual is None else torch.split(residual, sizes)
        moments = kernels.measure(reference)
        mean, var = moments.mean, moments.var
        y = kernels.normalize_by(reference, beside[0], *affine, mean, var, self.eps, self.activation)
        alone = fused_by_example(self, others, beside[1], mean, var, alpha=1 / (n + 1))
        if moving is not None:
            move(moving, x, mean.detach(), var.detach(), self.momentum, count=moments.count, bessel=True)
        return torch.cat([y, alone])

    def _normalize_by_running(self, x: Tensor, residual: Tensor | None, mask: Tensor | None) -> Tensor:
        return weighted_by_example(self, x, residual, mask, alpha=1 / (self.reference_size + 1))

    def _check_input(self, x: Tensor, residual: Tensor | None, mask: Tensor | None, by_batch: bool) -> None:
        super()._check_input(x, residual, mask, by_batch)
        if by_batch and min(self.reference_size, len(x)) * x.shape[2:].numel() == 1:
            raise ShapeError(
                f"Expected more than 1 value per channel when training, got input size {x.shape}, of which the "
                f"reference batch holds 1 example\nThe layer is {describe(self)}. Give a larger reference batch."
            )


class VirtualBatchNorm1d(VirtualBatchNormBase, BatchNorm1d):
    """For (N, C) or (N, C, L) input; all else as in :class:`VirtualBatchNormBase`."""


class VirtualBatchNorm2d(VirtualBatchNormBase, BatchNorm2d):
    """For (N, C, H, W) input; all else as in :class:`VirtualBatchNormBase`."""


class VirtualBatchNorm3d(VirtualBatchNormBase, BatchNorm3d):
    """For (N, C, D, H, W) input; all else as in :class:`VirtualBatchNormBase`."""
