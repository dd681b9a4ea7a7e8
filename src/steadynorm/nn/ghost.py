"""Batch normalization over ghost batches, parts of the batch, as a layer."""

from typing import Any

from torch import Tensor

from .. import kernels
from ..errors import ShapeError
from ..functional import Moments, RunningStatistics
from ..functional.ghost import check_ghost_batch_size, ghost_batch_norm
from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from .finishing import Affine
from .method import MethodBase
from .naming import describe

__all__ = ["GhostBatchNorm1d", "GhostBatchNorm2d", "GhostBatchNorm3d"]


class GhostBatchNormBase(MethodBase):
    r"""Batch normalization in which every ``ghost_batch_size`` examples in a row have statistics of their own.

    In training an example sees only its ghost batch, so a large batch keeps the noise of small ones. The running
    statistics are those of the whole batch, and evaluation does not depend on the ghost size.

    Reference: Hoffer, Hubara & Soudry 2017 (arXiv:1705.08741); the formula is
    :func:`steadynorm.functional.ghost_batch_norm`.

    Args:
        ghost_batch_size: 1 or more; the last ghost batch may be smaller. From the batch size on it is batch norm.
        others: as of :class:`steadynorm.nn.BatchNorm2d`, whose state_dict it shares.

    Raises: as batch norm does; ShapeError in training also where a ghost batch would hold one value a feature.
    """

    def __init__(self, *args: Any, ghost_batch_size: int, **others: Any) -> None:
        check_ghost_batch_size(ghost_batch_size)
        super().__init__(*args, **others)
        self.ghost_batch_size = ghost_batch_size

    def _transform(self, x: Tensor, affine: Affine, mask: Tensor | None) -> tuple[Tensor, Moments]:
        return ghost_batch_norm(x, *affine, ghost_batch_size=self.ghost_batch_size, eps=self.eps, mask=mask)

    def _fused(self, x: Tensor, residual: Tensor | None, moving: RunningStatistics | None) -> Tensor:
        what = x, residual, self.weight, self.bias, moving, self.momentum, self.eps, self.activation
        return kernels.ghost_batch_norm(*what, examples=int(self.ghost_batch_size))

    def _check_input(self, x: Tensor, residual: Tensor | None, mask: Tensor | None, by_batch: bool) -> None:
        super()._check_input(x, residual, mask, by_batch)
        smallest = len(x) % self.ghost_batch_size or min(self.ghost_batch_size, len(x))
        if by_batch and smallest * x.shape[2:].numel() == 1:
            raise ShapeError(
                f"Expected more than 1 value per channel when training, got input size {x.shape}, of which a ghost "
                f"batch holds {smallest} example\nThe layer is {describe(self)}. Ways out: a ghost size that leaves no "
                "remainder of one; drop_last=True in the loader."
            )


class GhostBatchNorm1d(GhostBatchNormBase, BatchNorm1d):
    """For (N, C) or (N, C, L) input; all else as in :class:`GhostBatchNormBase`."""


class GhostBatchNorm2d(GhostBatchNormBase, BatchNorm2d):
    """For (N, C, H, W) input; all else as in :class:`GhostBatchNormBase`."""


class GhostBatchNorm3d(GhostBatchNormBase, BatchNorm3d):
    """For (N, C, D, H, W) input; all else as in :class:`GhostBatchNormBase`."""
