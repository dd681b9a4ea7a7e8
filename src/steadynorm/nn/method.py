"""The base of the methods that transform their batch otherwise than batch norm does."""

from typing import Any

from torch import Tensor

from .batchnorm import BatchNormBase
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

    def _normalize_by_batch(self, x: Tensor, residual: Tensor | None, mask: Tensor | None) -> Tensor:
        y, moments = self._transform(x, wide_affine(self.weight, self.bias), mask)
        running = self._running_statistics()
        if running is not None and not self._pauses and not is_recomputation():
            mean, var, bessel = self._stored(moments)
            move(running, x, mean, var, self.momentum, count=moments.count, bessel=bessel)
        return finish(y, residual, self.activation)
