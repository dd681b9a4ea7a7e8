"""Batch renormalization as a layer, and the ramp on which its limits open."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import kernels
from ..errors import ArgumentError
from ..functional import Moments, RunningStatistics
from ..functional.renorm import batch_renorm, corrected_affine
from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d, BatchNormBase
from .dispatch import moments
from .finishing import Affine, wide_affine
from .method import MethodBase
from .moving import move

__all__ = ["BatchRenorm1d", "BatchRenorm2d", "BatchRenorm3d", "Ramp"]


@dataclass(frozen=True)
class Ramp:
    """A limit that is ``low`` up to step ``begin``, ``high`` from step ``end`` on, and linear between.

    >>> limit = Ramp(1.0, 3.0, begin=5000, end=40000)
    >>> [float(limit(torch.tensor(step))) for step in (0, 5000, 22500, 90000)]
    [1.0, 1.0, 2.0, 3.0]
    """

    low: float
    high: float
    begin: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.begin < self.end:
            raise ArgumentError(
                f"a ramp must begin at step 0 or later and end after that, received {self.begin} and {self.end}"
            )

    def __call__(self, step: Tensor) -> Tensor:
        """Return the limit, 0-d, after ``step`` batches."""
        done = ((step - self.begin) / (self.end - self.begin)).clamp(0, 1)
        return torch.lerp(torch.full_like(done, self.low), torch.full_like(done, self.high), done)


Limit = float | Callable[[Tensor], Tensor]

# The paper's, Sec 4: batch norm for 5000 steps, then relaxed.
R_MAX = Ramp(1.0, 3.0, begin=5000, end=40_000)
D_MAX = Ramp(0.0, 5.0, begin=5000, end=25_000)


class BatchRenormBase(MethodBase):
    r"""Batch normalization whose output in training is, within limits, that of evaluation.

    .. math:: y = \gamma\Bigl(\frac{x - \mu_B}{\sigma_B}\,r + d\Bigr) + \beta

    where r and d, taken for constants by the gradient, move the batch's statistics towards the running ones. The number
    of batches tracked is the step on which schedules depend, so that they go on where a checkpoint left off.

    Reference: Ioffe 2017 (arXiv:1702.03275), Algorithm 1; the formula is :func:`steadynorm.functional.batch_renorm`.

    Differs: running variances are kept, unbiased, as batch norm keeps them, not deviations. The paper's weight of a new
    batch in the running statistics, ``momentum``, is 0.01; the default here is that of batch norm, 0.1.

    Args:
        r_max: 1 or more: a number, or a function of the step (a 0-d tensor) that gives a 0-d tensor, such as
            :class:`Ramp`. By default the paper's, from 1 at step 5000 to 3 at step 40 000.
        d_max: 0 or more, likewise; by default from 0 at step 5000 to 5 at step 25 000. For shorter training give
            shorter ramps: until they begin it is batch norm.
        others: as of :class:`steadynorm.nn.BatchNorm2d`, whose state_dict it shares; ``track_running_stats`` must be
            True.

    Raises: as batch norm does; ArgumentError for limits out of range and without running statistics.
    """

    def __init__(self, *args: Any, r_max: Limit = R_MAX, d_max: Limit = D_MAX, **others: Any) -> None:
        for name, limit, least in (("r_max", r_max, 1), ("d_max", d_max, 0)):
            lowest = min(limit.low, limit.high) if isinstance(limit, Ramp) else limit
            if not callable(lowest) and not lowest >= least:
                raise ArgumentError(f"{name} must be {least} or more, received {limit}")
        super().__init__(*args, **others)
        if self.running_mean is None:
            raise ArgumentError(
                "renormalization needs running statistics, received track_running_stats=False: leave it out"
            )
        self.r_max, self.d_max = r_max, d_max

    def _normalize_by_batch(self, x: Tensor, residual: Tensor | None, mask: Tensor | None) -> Tensor:
        if self.training:
            return super()._normalize_by_batch(x, residual, mask)
        return BatchNormBase._normalize_by_batch(self, x, residual, mask)  # the batch's own are wanted, not the running

    def _transform(self, x: Tensor, affine: Affine, mask: Tensor | None) -> tuple[Tensor, Moments]:
        return batch_renorm(x, *affine, **self._corrections(x), mask=mask)

    def _fused(self, x: Tensor, residual: Tensor | None, moving: RunningStatistics | None) -> Tensor:
        of_batch = moments(x)
        affine = corrected_affine(of_batch, *wide_affine(self.weight, self.bias), **self._corrections(x))
        y = kernels.batch_norm_by_moments(x, residual, *affine, of_batch, self.eps, self.activation)
        if moving is not None:
            move(moving, x, of_batch.mean, of_batch.var, self.momentum, count=of_batch.count, bessel=True)
        return y

    def _corrections(self, x: Tensor) -> dict[str, Any]:
        """Return what the formula takes besides x, γ and β: the running statistics, and the limits at this step."""
        tracked = self.num_batches_tracked
        step = torch.zeros((), dtype=torch.int64, device=x.device) if tracked is None else tracked
        r_max, d_max = (limit(step) if callable(limit) else limit for limit in (self.r_max, self.d_max))
        mean, var, *_ = self._constants()
        return {"running_mean": mean, "running_var": var, "r_max": r_max, "d_max": d_max, "eps": self.eps}


class BatchRenorm1d(BatchRenormBase, BatchNorm1d):
    """For (N, C) or (N, C, L) input; all else as in :class:`BatchRenormBase`."""


class BatchRenorm2d(BatchRenormBase, BatchNorm2d):
    """For (N, C, H, W) input; all else as in :class:`BatchRenormBase`."""


class BatchRenorm3d(BatchRenormBase, BatchNorm3d):
    """For (N, C, D, H, W) input; all else as in :class:`BatchRenormBase`."""
