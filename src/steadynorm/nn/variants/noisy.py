"""Batch normalization followed by noise that shifts and scales the units, as a layer, for study."""

from typing import Any

from torch import Tensor

from ... import functional
from ...functional import Moments
from ...functional.variants.noisy import check_dose
from ..batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from .base import VariantBase

__all__ = ["NoisyBatchNorm1d", "NoisyBatchNorm2d", "NoisyBatchNorm3d"]


class NoisyBatchNormBase(VariantBase):
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
        dose: float = 1.0,
    ) -> None:
        check_dose(dose)
        options: dict[str, Any] = {"bias": bias, "activation": activation}
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, **options)
        self.dose = dose

    def _transform(
        self, x: Tensor, gamma: Tensor | None, beta: Tensor | None, mask: Tensor | None
    ) -> tuple[Tensor, Moments]:
        if not self.training or self.dose == 0:
            return functional.batch_norm(x, gamma, beta, eps=self.eps, mask=mask)
        noise = functional.draw_noise(x, dose=self.dose)
        return functional.noisy_batch_norm(x, gamma, beta, noise=noise, eps=self.eps, mask=mask)

    def extra_repr(self) -> str:
        """Return batch norm's text and the dose."""
        return f"{super().extra_repr()}, dose={self.dose}"


class NoisyBatchNorm1d(NoisyBatchNormBase, BatchNorm1d):
    """For (N, C) or (N, C, L) input; all else as in :class:`NoisyBatchNormBase`."""


class NoisyBatchNorm2d(NoisyBatchNormBase, BatchNorm2d):
    """For (N, C, H, W) input; all else as in :class:`NoisyBatchNormBase`."""


class NoisyBatchNorm3d(NoisyBatchNormBase, BatchNorm3d):
    """For (N, C, D, H, W) input; all else as in :class:`NoisyBatchNormBase`."""
