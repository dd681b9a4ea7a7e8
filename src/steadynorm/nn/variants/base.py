"""What layers share that transform their batch otherwise: residual, activation, running statistics."""

from typing import Any

import torch
from torch import Tensor

from ..batchnorm import BatchNormBase
from ..dispatch import finish, move, wide_affine
from ..recomputation import is_recomputation

__all__ = ["VariantBase"]


class VariantBase(BatchNormBase):
    """A batch norm with another transform of its batch: a layer says which, and what its running statistics average."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
        activation: str | None = None,
    ) -> None:
        options: dict[str, Any] = {"bias": bias, "activation": activation}
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, **options)

    def _transform(
        self, x: Tensor, gamma: Tensor | None, beta: Tensor | None, mask: Tensor | None
    ) -> tuple[Tensor, Any]:
        """Normalize by the batch; return y, and what :meth:`_stored` takes the running statistics from."""
        raise NotImplementedError

    def _stored(self, moments: Any) -> tuple[Tensor, Tensor]:
        """Return what is averaged into the running mean and variance."""
        return moments.mean, moments.unbiased_var

    def _normalize_by_batch(self, x: Tensor, residual: Tensor | None, mask: Tensor | None) -> Tensor:
        y, moments = self._transform(x, *wide_affine(self.weight, self.bias), mask)
        running = self._running_statistics()
        if running is not None and not self._pauses and not is_recomputation():
            with torch.no_grad():
                move(running, x, *self._stored(moments), self.momentum, moments.count > 0)
        return finish(y, residual, self.activation)
