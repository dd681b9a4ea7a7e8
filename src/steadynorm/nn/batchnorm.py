"""Batch normalization as a layer: parameters, buffers, modes. The formulas are in :mod:`steadynorm.functional`."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm, _LazyNormBase

from ..functional import RunningStatistics
from .activations import check_activation
from .base import NormBase
from .dispatch import by_batch
from .recomputation import is_recomputation

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "LazyBatchNorm1d", "LazyBatchNorm2d", "LazyBatchNorm3d"]


class BatchNormBase(NormBase, _BatchNorm):
    r"""What :class:`BatchNorm1d`, :class:`BatchNorm2d` and :class:`BatchNorm3d` share: drop-ins for torch's of those
    names.

    .. math:: y = \phi\Bigl(\gamma\,\frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta + r\Bigr)

    In training μ and σ² are the batch's mean and biased variance, over batch and positions, and the running statistics
    move towards the batch's; in evaluation they are the running statistics. φ is the activation, r the residual.

    Reference: Ioffe & Szegedy 2015, Algorithms 1 and 2; the formulas are :func:`steadynorm.functional.batch_norm` and
    :func:`steadynorm.functional.update_running_statistics`.

    Shape: input, residual and output (N, C, *S); mask broadcastable to (N, 1, *S). The output has the input's dtype.

    Args:
        num_features: C, the number of features.
        eps: ε, above 0.
        momentum: between 0 and 1, the weight of the new batch in the running statistics; None weighs all batches
            equally.
        affine: have γ (``weight``) and β (``bias``).
        track_running_stats: have running statistics; without them evaluation uses the batch's own as well.
        dtype: of γ and β; statistics are float32 or wider.
        bias: have β.
        activation: what follows: None, or a name in :data:`steadynorm.nn.ACTIVATIONS`.
        inplace: let y overwrite x in training, with the activations None and ``"leaky_relu"``: backward computes x
            again from y, which the next layer keeps anyway. It is done where the fused kernels serve and x is the
            result of another operation; gradients are right to about 1e-5, and there are no second derivatives. If
            someone else needs x for backward, autograd raises.

    Differs from torch: statistics stay float32 or wider under ``.half()`` and its kin. A feature whose batch is not
    finite skips the update, and ``skipped_updates`` counts it. Under activation checkpointing every batch counts once:
    a forward that runs inside a backward pass is taken for a recomputation. Nothing changes before the input is
    validated. With ``momentum=None``, batches that are empty or not finite are not counted in ``num_batches_tracked``;
    and a batch that is masked as a whole changes nothing at all.

    ``torch.nn.SyncBatchNorm.convert_sync_batchnorm`` rebuilds any subclass of torch's batch norm as a plain layer,
    without its activation, residual and mask.

    Raises: ShapeError for another number of axes, for one value a feature in training (it names the layer), for a
    residual or mask of another shape; ChannelError for another number of features; ArgumentError for ε; DtypeError for
    a mask that is not boolean.
    """

    skipped_updates: Tensor | None
    """(C,), int64: how many batches each feature refused, their statistics not being finite. Not in the state_dict."""

    inplace = False
    _pauses = 0  # in how many paused_statistics blocks the layer is

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
        inplace: bool = False,
    ) -> None:
        check_activation(activation, invertible=inplace)
        options: dict[str, Any] = {"bias": bias, "activation": activation}
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, **options)
        self.inplace = inplace

    def _register_more(self) -> None:
        self.register_buffer("skipped_updates", None, persistent=False)  # after torch's three, and in no checkpoint
        self._reset_skipped_updates()

    def _normalize_by_batch(self, x: Tensor, residual: Tensor | None, mask: Tensor | None) -> Tensor:
        running = self._running_statistics()
        moves = running is not None and not self._pauses and not is_recomputation()
        return by_batch(
            x,
            residual,
            mask,
            self.weight,
            self.bias,
            running,
            moves=moves,
            momentum=self.momentum,
            eps=self.eps,
            activation=self.activation,
            inplace=self.inplace,
        )

    def _running_statistics(self) -> RunningStatistics | None:
        """Return what training averages, if it does."""
        if not (self.training and self.track_running_stats) or (mean := self.running_mean) is None:
            return None
        tracked = self.num_batches_tracked
        if tracked is None:  # torch allows to take this one away
            tracked = torch.zeros((), dtype=torch.int64, device=mean.device)
        return RunningStatistics(mean, self.running_var, tracked, self.skipped_updates)  # type: ignore[arg-type]

    def reset_running_stats(self) -> None:
        """Set mean 0, variance 1 and no batch, as at the start."""
        super().reset_running_stats()
        self._reset_skipped_updates()

    def _reset_skipped_updates(self) -> None:
        """Count from 0, beside the statistics, wherever these are now."""
        mean, counts = self._buffers.get("running_mean"), self._buffers.get("skipped_updates")
        if mean is None:
            return
        if counts is not None and counts.device == mean.device:
            counts.zero_()
        elif "skipped_updates" in self._buffers:
            self.skipped_updates = torch.zeros_like(mean, dtype=torch.int64)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._reset_skipped_updates()  # other statistics; and assign=True leaves a model from the meta device

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_pauses"}  # a copy is not paused

    def extra_repr(self) -> str:
        """Return torch's text, the activation if there is one, and whether x may be overwritten."""
        return super().extra_repr() + (", inplace=True" if self.inplace else "")


class BatchNorm1d(BatchNormBase, torch.nn.BatchNorm1d):
    """Batch normalization of (N, C) or (N, C, L) input; all else as in :class:`BatchNormBase`."""

    axes = (2, 3)


class BatchNorm2d(BatchNormBase, torch.nn.BatchNorm2d):
    """Batch normalization of (N, C, H, W) input; all else as in :class:`BatchNormBase`."""

    axes = (4,)


class BatchNorm3d(BatchNormBase, torch.nn.BatchNorm3d):
    """Batch normalization of (N, C, D, H, W) input; all else as in :class:`BatchNormBase`."""

    axes = (5,)


class LazyBatchNormBase(_LazyNormBase, BatchNormBase):
    """A layer that takes ``num_features`` from its first input, and is the plain layer from then on."""

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
        activation: str | None = None,
        inplace: bool = False,
    ) -> None:
        check_activation(activation, invertible=inplace)
        super().__init__(eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.activation = activation
        self.inplace = inplace

    def initialize_parameters(self, x: Tensor, residual: Tensor | None = None, mask: Tensor | None = None) -> None:
        """Give parameters and buffers the size of x's feature axis."""
        self._check_input_dim(x)  # before anything is changed
        super().initialize_parameters(x)
        self.widen_statistics()
        self._reset_skipped_updates()


class LazyBatchNorm1d(LazyBatchNormBase):
    """:class:`BatchNorm1d` of as many features as its first input has."""

    cls_to_become = BatchNorm1d
    axes = BatchNorm1d.axes


class LazyBatchNorm2d(LazyBatchNormBase):
    """:class:`BatchNorm2d` of as many features as its first input has."""

    cls_to_become = BatchNorm2d
    axes = BatchNorm2d.axes


class LazyBatchNorm3d(LazyBatchNormBase):
    """:class:`BatchNorm3d` of as many features as its first input has."""

    cls_to_become = BatchNorm3d
    axes = BatchNorm3d.axes
