"""Batch normalization with constant statistics, which no mode, tool or loader changes."""

from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError
from ..functional._tensors import widen
from .base import NormBase
from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d

__all__ = ["FrozenBatchNorm1d", "FrozenBatchNorm2d", "FrozenBatchNorm3d"]


class FrozenBatchNormBase(NormBase):
    r"""Batch normalization by its running statistics in training and in evaluation: an affine map of each feature.

    .. math:: y = \phi\Bigl(\gamma\,\frac{x - \mathrm E[x]}{\sqrt{\mathrm{Var}[x] + \epsilon}} + \beta + r\Bigr)

    Reference: Ioffe & Szegedy 2015, Algorithm 2, line 11; for fine-tuning in He et al. 2016 (arXiv:1512.03385), as
    practised for detection since.

    Constructor, attributes and state_dict are those of batch norm, so that a layer can be frozen and thawed without a
    loss; ``momentum`` and ``num_batches_tracked`` are kept for that and not used. γ and β start out not trainable;
    ``layer.requires_grad_()`` trains them. It is not one of torch's batch norms (``_BatchNorm``), so ``update_bn`` and
    other tools that look for these leave it alone.

    Loads the checkpoints of batch norms, and of the layers called ``FrozenBatchNorm2d`` in torchvision and detectron2,
    which have no ``num_batches_tracked``: it then stays as it is. Where a checkpoint without version, or of version 1,
    gives γ and β only (Caffe2's backbones in detectron2), the statistics become 0 and 1−ε: y = γx + β.

    Differs from these two: any number of dimensions; statistics stay float32 or wider under ``.half()``; γ and β are
    parameters; activation, residual and mask as in :class:`steadynorm.nn.BatchNorm2d`.

    Shape: input, residual and output (N, C, *S), of any N; mask broadcastable to (N, 1, *S).

    Args:
        track_running_stats: must be True.

    Attributes:
        affine_frozen: γ and β get no gradient, whether or not they require one. :func:`steadynorm.freeze_` sets it.

    Raises: ArgumentError without running statistics; ShapeError, ChannelError, DtypeError as the batch norms do.
    """

    affine_frozen = False

    def __init__(self, *args: Any, **others: Any) -> None:
        super().__init__(*args, **others)
        if self.running_mean is None:
            raise ArgumentError(
                "a frozen layer needs running statistics, received track_running_stats=False: leave it out"
            )
        self.requires_grad_(False)

    def _is_by_batch(self) -> bool:
        return False

    def _constants(self) -> tuple[Any, ...]:
        mean, var, *affine = super()._constants()
        if self.affine_frozen:
            affine = [v if v is None or not v.requires_grad else v.detach() for v in affine]
        return widen(mean), widen(var), *affine  # a layer of torch that has been frozen may have 16-bit statistics

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, local_metadata: dict[str, Any], *args: Any
    ) -> None:
        given = dict(state_dict)
        kept = self.num_batches_tracked
        zero = torch.zeros((), dtype=torch.int64)
        given.setdefault(prefix + "num_batches_tracked", zero if kept is None or kept.is_meta else kept)
        mean, var = prefix + "running_mean", prefix + "running_var"
        if (local_metadata.get("version") or 0) < 2 and mean not in given and var not in given:
            given[mean] = torch.zeros(self.num_features)
            given[var] = torch.full((self.num_features,), 1 - self.eps)
        super()._load_from_state_dict(given, prefix, local_metadata, *args)


class FrozenBatchNorm1d(FrozenBatchNormBase, axes=BatchNorm1d.axes):
    """For (N, C) or (N, C, L) input; all else as in :class:`FrozenBatchNormBase`."""


class FrozenBatchNorm2d(FrozenBatchNormBase, axes=BatchNorm2d.axes):
    """For (N, C, H, W) input; all else as in :class:`FrozenBatchNormBase`."""


class FrozenBatchNorm3d(FrozenBatchNormBase, axes=BatchNorm3d.axes):
    """For (N, C, D, H, W) input; all else as in :class:`FrozenBatchNormBase`."""


class FrozenBatchNorm(FrozenBatchNormBase, axes=(*BatchNorm1d.axes, *BatchNorm2d.axes, *BatchNorm3d.axes)):
    """For 2-D to 5-D input: what a synchronized batch norm, which takes all of them, becomes when it is frozen."""
