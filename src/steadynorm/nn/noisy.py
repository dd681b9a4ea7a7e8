"""Batch normalization followed by noise that shifts and scales the units, as a layer, for study."""

from typing import Any

from torch import Tensor

from .. import kernels
from ..functional import Moments, RunningStatistics, batch_norm
from ..functional.noisy import add_noise, check_dose, draw_noise, noisy_batch_norm
from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from .finishing import Affine, finish
from .method import MethodBase

__all__ = ["NoisyBatchNorm1d", "NoisyBatchNorm2d", "NoisyBatchNorm3d"]


class NoisyBatchNormBase(MethodBase):
    r"""Batch normalization, and in training a random shift and scale of every unit, anew at every step.

    .. math:: y_{ij} = s_{ij}\,\mathrm{BN}(x)_{ij} + m_{ij}

    It makes the distribution that the next layer sees unstable on purpose, to ask whether stability is what batch norm
    is good for.

    Reference: Santurkar et al. 2018 (arXiv:1805.11604), Sec 2.1 and Algorithm 1 of the appendix; the draw is
    :func:`steadynorm.functional.draw_noise`.

    Differs: the paper does not say what happens in evaluation; here it is batch norm's, without noise.

    Args:
        dose: 0 or more; 1 is the paper's, 0 is batch norm, and draws nothing.
        others: as of :class:`steadynorm.nn.BatchNorm2d`, whose state_dict it shares.

    Raises: as batch norm does; ArgumentError for the dose.
    """

    def __init__(self, *args: Any, dose: float = 1.0, **others: Any) -> None:
        check_dose(dose)
        super().__init__(*args, **others)
        self.dose = dose

    def _transform(self, x: Tensor, affine: Affine, mask: Tensor | None) -> tuple[Tensor, Moments]:
        if not self._is_noisy():
            return batch_norm(x, *affine, eps=self.eps, mask=mask)
        return noisy_batch_norm(x, *affine, noise=draw_noise(x, dose=self.dose), eps=self.eps, mask=mask)

    def _fused(self, x: Tensor, residual: Tensor | None, moving: RunningStatistics | None) -> Tensor:
        what = self.weight, self.bias, moving, self.momentum, self.eps
        if not self._is_noisy():
            return kernels.batch_norm(x, residual, *what, self.activation)
        y = kernels.batch_norm(x, None, *what, None)
        return finish(add_noise(y, draw_noise(x, dose=self.dose)), residual, self.activation)

    def _is_noisy(self) -> bool:
        return self.training and self.dose > 0


class NoisyBatchNorm1d(NoisyBatchNormBase, BatchNorm1d):
    """For (N, C) or (N, C, L) input; all else as in :class:`NoisyBatchNormBase`."""


class NoisyBatchNorm2d(NoisyBatchNormBase, BatchNorm2d):
    """For (N, C, H, W) input; all else as in :class:`NoisyBatchNormBase`."""


class NoisyBatchNorm3d(NoisyBatchNormBase, BatchNorm3d):
    """For (N, C, D, H, W) input; all else as in :class:`NoisyBatchNormBase`."""
