"""Group, instance and layer normalization of torch's, with a mask."""

from torch import Tensor, nn

from .._torch import TorchNorm
from ..errors import ArgumentError
from ..functional.per_example import group_norm, layer_norm
from . import masking

__all__ = ["GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "LayerNorm"]


class GroupNorm(nn.GroupNorm):
    """torch's group normalization, which may be given a mask: padding then enters no statistics, and comes out as 0.

    Without a mask it is torch's. The formula is :func:`steadynorm.functional.group_norm`.

    Reference: Wu & He 2018 (arXiv:1803.08494).

    Shape: x and y (N, C, *S), mask broadcastable to (N, 1, *S).

    Raises: ShapeError, DtypeError for the mask.
    """

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the normalized input, and 0 where the mask is False."""
        if mask is None and masking.open_blocks:
            mask = masking.mask_for(self, input)
        if mask is None:
            return super().forward(input)
        return group_norm(input, self.num_groups, self.weight, self.bias, eps=self.eps, mask=mask)


class LayerNorm(nn.LayerNorm):
    """torch's layer normalization, which may be given a mask: padding then enters no statistics, and comes out as 0.

    Without a mask it is torch's. The formula is :func:`steadynorm.functional.layer_norm`.

    Reference: Ba, Kiros & Hinton 2016 (arXiv:1607.06450).

    Shape: x and y (N, *S, C), or whatever ends in ``normalized_shape``; mask of as many axes, broadcastable to it, as
    (N, L, 1). In a block of :func:`steadynorm.nn.mask` the features are the last axis.

    Raises: ShapeError, DtypeError for the mask.
    """

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the normalized input, and 0 where the mask is False."""
        if mask is None and masking.open_blocks:
            mask = masking.mask_for(self, input, channel_axis=-1)
        if mask is None:
            return super().forward(input)
        return layer_norm(input, self.normalized_shape, self.weight, self.bias, eps=self.eps, mask=mask)


class InstanceNormBase(TorchNorm):
    """torch's instance normalization, which may be given a mask: padding then enters no statistics, and comes out as 0.

    Without a mask it is torch's. The formula is :func:`steadynorm.functional.group_norm` with a group a feature.

    Reference: Ulyanov et al. 2016 (arXiv:1607.08022).

    Shape: x and y (N, C, *S), mask broadcastable to (N, 1, *S).

    Raises: ShapeError, DtypeError for the mask; ArgumentError for a mask beside running statistics.
    """

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the normalized input, and 0 where the mask is False."""
        if mask is None and masking.open_blocks:
            mask = masking.mask_for(self, input)
        if mask is None:
            y: Tensor = super().forward(input)
            return y
        if self.track_running_stats:
            raise ArgumentError(
                "an instance norm with running statistics takes no mask: make it with track_running_stats=False"
            )
        return group_norm(input, input.shape[1], self.weight, self.bias, eps=self.eps, mask=mask)


class InstanceNorm1d(InstanceNormBase, nn.InstanceNorm1d):
    """For (N, C, L) input; all else as in :class:`InstanceNormBase`."""


class InstanceNorm2d(InstanceNormBase, nn.InstanceNorm2d):
    """For (N, C, H, W) input; all else as in :class:`InstanceNormBase`."""


class InstanceNorm3d(InstanceNormBase, nn.InstanceNorm3d):
    """For (N, C, D, H, W) input; all else as in :class:`InstanceNormBase`."""
