"""The base of the methods that transform their batch otherwise than batch norm does."""

from typing import Any

from torch import Tensor

from ..functional import RunningStatistics
from .batchnorm import BatchNormBase
from .dispatch import code_for
from .finishing import Affine, finish, wide_affine
from .moving import is_recomputation, move

__all__ = ["MethodBase"]


class MethodBase(BatchNormBase):
    """A batch norm with another transform of its batch: which, and what its running statistics average."""

    refused: tuple[str, ...] = ("inplace",)

    def _transform(self, x: Tensor, affine: Affine, mask: Tensor | None) -> tuple[Tensor, Any]:
        """Normalize by the batch; return y, and what :meth:`_stored` takes the running statistics from."""
        raise NotImplementedError

    def _stored(self, moments: Any) -> tuple[Tensor, Tensor, bool]:
        """Return what is averaged into the running mean and variance, and whether that is a biased variance."""
        return moments.mean, moments.var, True

    def _fused(self, x: Tensor, residual: Tensor | None, moving: RunningStatistics | None) -> Tensor | None:
        """Return activation(norm(x) + residual) by the kernels, and move the running statistics, if they are to.

        None, with nothing done, where the kernels do not have this transform.
        """
        return None

    def _normalize_by_batch(self, x: Tensor, residual: Tensor | None, mask: Tensor | None) -> Tensor:
        affine, running = (self.weight, self.bias), self._running_statistics()
        moving = None if running is None or self._pauses or is_recomputation() else running
        if mask is None and code_for(x, residual, *affine, None if running is None else running.mean) == "kernel":
            y = self._fused(x, residual, moving)
            if y is not None:
                return y
        y, moments = self._transform(x, wide_affine(*affine), mask)
        if moving is not None:
            mean, var, bessel = self._stored(moments)
            move(moving, x, mean, var, self.momentum, count=moments.count, bessel=bessel)
        return finish(y, residual, self.activation)
