"""Batch normalization by an ℓp norm, as a layer."""

from typing import Any

import torch
from torch import Tensor

from .. import kernels
from ..functional import Moments, RunningStatistics
from ..functional.lp import check_p, lp_batch_norm
from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from .finishing import Affine
from .method import MethodBase
from .moving import move

__all__ = ["LpBatchNorm1d", "LpBatchNorm2d", "LpBatchNorm3d"]


class LpBatchNormBase(MethodBase):
    r"""Batch normalization that divides by the average ℓp norm, for p = 1, 2, ∞.

    .. math:: y = \gamma\,\frac{x - \mu}{\sqrt{s_p^2 + \epsilon}} + \beta

    Reference: Santurkar et al. 2018 (arXiv:1805.11604), Sec 3.3; the formula is
    :func:`steadynorm.functional.lp_batch_norm`.

    ``running_var`` averages s², so that evaluation is batch norm's. Only for p = 2 and centred, where s² is a variance
    and the layer is batch norm, is it multiplied by n/(n−1).

    Args:
        p: 1, 2 or ``float("inf")``.
        centred: take the norm of x − μ; by default of x, as the paper does.
        others: as of :class:`steadynorm.nn.BatchNorm2d`, whose state_dict it shares.

    Raises: as batch norm does; ArgumentError for another p.
    """

    def __init__(self, *args: Any, p: float, centred: bool = False, **others: Any) -> None:
        check_p(p)
        super().__init__(*args, **others)
        self.p, self.centred = p, centred

    def _transform(self, x: Tensor, affine: Affine, mask: Tensor | None) -> tuple[Tensor, Moments]:
        return lp_batch_norm(x, *affine, p=self.p, centred=self.centred, eps=self.eps, mask=mask)

    def _fused(self, x: Tensor, residual: Tensor | None, moving: RunningStatistics | None) -> Tensor | None:
        if x.dtype is torch.bfloat16:  # the gradient comes in two parts, and each would be rounded
            return None
        what = x, residual, self.weight, self.bias, self.eps, self.activation
        y, moments = kernels.lp_batch_norm(*what, p=self.p, centred=self.centred)
        if moving is not None:
            mean, square, bessel = self._stored(moments)
            move(moving, x, mean, square, self.momentum, count=moments.count, bessel=bessel)
        return y

    def _stored(self, moments: Moments) -> tuple[Tensor, Tensor, bool]:
        return moments.mean, moments.var, self.p == 2 and self.centred


class LpBatchNorm1d(LpBatchNormBase, BatchNorm1d):
    """For (N, C) or (N, C, L) input; all else as in :class:`LpBatchNormBase`."""


class LpBatchNorm2d(LpBatchNormBase, BatchNorm2d):
    """For (N, C, H, W) input; all else as in :class:`LpBatchNormBase`."""


class LpBatchNorm3d(LpBatchNormBase, BatchNorm3d):
    """For (N, C, D, H, W) input; all else as in :class:`LpBatchNormBase`."""
