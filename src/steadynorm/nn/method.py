"""The base of the methods that transform their batch otherwise than batch norm does."""

from typing import Any

import torch
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

    def _stored(self, moments: Any) -> tuple[Tensor, Tensor]:
        """Return what is averaged into the running mean and variance."""
        return moments.mean, moments.unbiased_var

    def _normalize_by_batch(self, x: Tensor, residual: Tensor | None, mask: Tensor | None) -> Tensor:
        y, moments = self._transform(x, wide_affine(self.weight, self.bias), mask)
        running = self._running_statistics()
        if running is not None and not self._pauses and not is_recomputation():
            with torch.no_grad():
                move(running, x, *self._stored(moments), self.momentum, moments.count > 0)
        return finish(y, residual, self.activation)
