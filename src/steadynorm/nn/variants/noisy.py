"""Batch normalization followed by noise that shifts and scales the units, as a layer, for study."""

from typing import Any

from torch import Tensor

from ... import functional
from ...functional import Moments
from ...functional.variants.noisy import check_dose
from ..batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d, BatchNormBase

__all__ = ["NoisyBatchNorm1d", "NoisyBatchNorm2d", "NoisyBatchNorm3d"]


class NoisyBatchNormBase(BatchNormBase):
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

    _is_plain = False

    def __init__(self, *args: Any, dose: float = 1.0, **kwargs: Any) -> None:
        check_dose(dose)
        super().__init__(*args, **kwargs)
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
