"""Batch normalization whose inference weighs in each example's own statistics, as a layer."""

from typing import Any

from torch import Tensor

from ... import functional
from ...functional.variants.weighing import check_alpha
from ..batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d, BatchNormBase
from ..dispatch import finish, wide_affine

__all__ = ["ExampleWeighedBatchNorm1d", "ExampleWeighedBatchNorm2d", "ExampleWeighedBatchNorm3d"]


class ExampleWeighedBatchNormBase(BatchNormBase):
    r"""Batch normalization in training; in evaluation each example's own statistics have a share α beside the running.

    .. math:: \mu_i = \alpha\,\mathrm E[x_i] + (1-\alpha)\,\mathrm E[x]

    In training an example is one of the m that make its statistics, in evaluation it is not: giving it a share again
    narrows the gap, the more the smaller m was. It needs no training: load a trained batch norm's state_dict and choose
    α on validation data.

    Reference: Summers & Dinneen 2020 (arXiv:1906.03548), *Inference Example Weighing*; the formula is
    :func:`steadynorm.functional.example_weighed_norm`.

    In evaluation it is no affine map with constants, so it cannot be folded into a convolution.

    Args:
        alpha: α, between 0 and 1; 0 is batch norm.
        others: as of :class:`steadynorm.nn.BatchNorm2d`, whose state_dict it shares.

    Raises: as batch norm does; ArgumentError for α.
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
        alpha: float,
    ) -> None:
        check_alpha(alpha)
        options: dict[str, Any] = {"bias": bias, "activation": activation}
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, **options)
        self.alpha = alpha

    def _normalize_by_running(self, x: Tensor, residual: Tensor | None, mask: Tensor | None) -> Tensor:
        mean, var = self.running_mean, self.running_var
        gamma, beta = wide_affine(self.weight, self.bias)
        y = functional.example_weighed_norm(x, mean, var, gamma, beta, alpha=self.alpha, eps=self.eps, mask=mask)  # type: ignore[arg-type]
        return finish(y, residual, self.activation)

    def extra_repr(self) -> str:
        """Return batch norm's text and the share."""
        return f"{super().extra_repr()}, alpha={self.alpha}"


class ExampleWeighedBatchNorm1d(ExampleWeighedBatchNormBase, BatchNorm1d):
    """For (N, C) or (N, C, L) input; all else as in :class:`ExampleWeighedBatchNormBase`."""


class ExampleWeighedBatchNorm2d(ExampleWeighedBatchNormBase, BatchNorm2d):
    """For (N, C, H, W) input; all else as in :class:`ExampleWeighedBatchNormBase`."""


class ExampleWeighedBatchNorm3d(ExampleWeighedBatchNormBase, BatchNorm3d):
    """For (N, C, D, H, W) input; all else as in :class:`ExampleWeighedBatchNormBase`."""
