"""Batch normalization as a layer: parameters, buffers, modes. The formulas are in :mod:`steadynorm.functional`."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import functional, kernels
from .._torch import LazyTorchNorm, TorchBatchNorm, buffers_of, is_transformed
from ..errors import ArgumentError, ModelError
from ..functional import RunningStatistics
from ..functional._tensors import features_second
from . import exporting
from .base import NormBase
from .dispatch import code_for, may_be_overwritten, moments
from .finishing import activation_name, check_channel_axis, check_single_value, finish, wide_affine
from .moving import is_recomputation, move
from .naming import describe

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "LazyBatchNorm1d", "LazyBatchNorm2d", "LazyBatchNorm3d"]


class BatchNormBase(NormBase, TorchBatchNorm):
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
        activation: what follows: None, a name in :data:`steadynorm.nn.ACTIVATIONS`, or torch's module of it with its
            default arguments, as ``torch.nn.ReLU()``.
        inplace: let y overwrite x in training, with the activations None and ``"leaky_relu"``: backward computes x
            again from y, which the next layer keeps anyway. It is done where the fused kernels serve and x is the
            result of another operation; gradients are right to about 1e-5, and there are no second derivatives. If
            someone else needs x for backward, autograd raises.
        channel_axis: where the features are: 1, or -1 for sequences (N, L, C) and maps (N, H, W, C), which are not
            copied for it; residual and mask are laid out likewise.
        single_value: what training does with a batch of one value a feature: ``"error"``, or ``"running"``, which
            normalizes it by the running statistics and does not count it.

    Differs from torch: the constructor refuses no feature, ε below 0 and a momentum outside of 0 to 1, with which torch
    fails or diverges later; errors also name the layer. Statistics stay float32 or wider under ``.half()`` and its kin.
    A feature whose batch is not finite skips the update, and ``skipped_updates`` counts it. Under activation
    checkpointing every batch counts once: a forward that runs inside a backward pass is taken for a recomputation.
    Nothing changes before the input is validated. With ``momentum=None``, batches that are empty or not finite are not
    counted in ``num_batches_tracked``; and a batch that is masked as a whole changes nothing at all.

    ``torch.nn.SyncBatchNorm.convert_sync_batchnorm`` rebuilds any subclass of torch's batch norm as a plain layer. Of
    one with an activation, or whose features are the last axis, it raises; residual and mask are lost where it is
    called with them. ``torch.nn.utils.fusion.fuse_conv_bn_eval`` and timm's ``freeze_batch_norm_2d`` leave an
    activation out without a word: call ``sn.convert_(model, "torch")`` first, or :func:`steadynorm.fold` and
    :func:`steadynorm.freeze_`.

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
        activation: str | nn.Module | None = None,
        inplace: bool = False,
        single_value: str = "error",
        channel_axis: int = 1,
    ) -> None:
        activation = activation_name(activation, invertible=inplace)
        check_single_value(single_value)
        if inplace and "inplace" in self.refused:
            raise ArgumentError(f"inplace must be False for {type(self).__name__}, received True: leave it out")
        super().__init__(
            num_features,
            eps,
            momentum,
            affine,
            track_running_stats,
            device,
            dtype,
            bias=bias,
            channel_axis=channel_axis,
        )
        self.activation, self.inplace, self.single_value = activation, inplace, single_value
        self.register_buffer("skipped_updates", None, persistent=False)  # after torch's three, and in no checkpoint
        self._reset_skipped_updates()

    def _normalize_by_batch(self, x: Tensor, residual: Tensor | None, mask: Tensor | None) -> Tensor:
        """Where the mask is False, x and the residual are 0, and y is of no meaning.

        What is saved for backward does not depend on whether the running statistics move, so that a recomputation,
        which moves nothing, saves the same.
        """
        affine, eps, activation = (self.weight, self.bias), self.eps, self.activation
        running = self._running_statistics()
        moving = None if running is None or self._pauses or is_recomputation() else running
        code = code_for(x, residual, *affine, None if running is None else running.mean)
        if code == "kernel" and mask is None:
            if self.inplace and residual is None and may_be_overwritten(x):
                return kernels.batch_norm_in_place(x, *affine, moving, self.momentum, eps, activation)
            return kernels.batch_norm(x, residual, *affine, moving, self.momentum, eps, activation)
        mean = var = count = None
        if mask is not None:
            if code == "kernel":
                given = moments(x, mask)
                y = kernels.batch_norm_by_moments(x, residual, *affine, given, eps, activation, mask=mask)
            else:
                y, given = functional.batch_norm(x, *wide_affine(*affine), eps=eps, mask=mask)
                y = finish(y, residual, activation)
            mean, var, count = given.mean, given.var, given.count
        elif code == "traced kernel":
            y, mean, var = kernels.batch_norm_traced(x, residual, *affine, eps, activation)
            n = x.numel() // x.shape[1]
            var = var * (n / (n - 1))
        elif self.momentum is not None and exporting.is_exporting():
            mean, var, tracked, _ = (None,) * 4 if moving is None else moving
            return exporting.batch_norm(self, x, residual, (mean, var), affine, tracked=tracked, by_batch=True)
        else:
            # torch's operator writes the batch's own mean and unbiased variance into these, and they are averaged in
            # below: a running buffer that backward saved is never repaired in place
            # in a transform nothing is recomputed, and what it did not make itself takes no statistics
            wanted = moving if is_transformed() else running
            mean, var = (None, None) if wanted is None else (torch.zeros_like(v) for v in wanted[:2])
            try:
                y = F.batch_norm(x, mean, var, *wide_affine(*affine), True, 1.0, eps)
            except RuntimeError as error:
                raise _transformed(self, error) from error
            y = finish(y, residual, activation)
        if moving is not None and mean is not None and var is not None:
            move(moving, x, mean, var, self.momentum, count=count, bessel=count is not None)
        return y

    def _running_statistics(self) -> RunningStatistics | None:
        """Return what training averages, if it does."""
        if not (self.training and self.track_running_stats) or (mean := self.running_mean) is None:
            return None
        if self.skipped_updates is not None and self.skipped_updates.shape != mean.shape:
            self._reset_skipped_updates()  # somebody has cut the statistics, as pruning does
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
        mean, counts = buffers_of(self).get("running_mean"), buffers_of(self).get("skipped_updates")
        if mean is None:
            return
        if counts is not None and (counts.device, counts.shape) == (mean.device, mean.shape):
            counts.zero_()
        elif "skipped_updates" in buffers_of(self):
            self.skipped_updates = torch.zeros_like(mean, dtype=torch.int64)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._reset_skipped_updates()  # other statistics; and assign=True leaves a model from the meta device

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_pauses"}  # a copy is not paused


def _transformed(layer: BatchNormBase, error: RuntimeError) -> RuntimeError:
    """Return the error, with the way out if it is that of ``torch.func.vmap`` over statistics that are to move."""
    if "got a batched tensor as input while the running_mean" not in str(error):
        return error
    return ModelError(
        f"{error}\nThe layer is {describe(layer)}. In a transform its running statistics cannot move: call the model "
        "inside steadynorm.paused_statistics(model)"
    )


class BatchNorm1d(BatchNormBase, torch.nn.BatchNorm1d, axes=(2, 3)):
    """Batch normalization of (N, C) or (N, C, L) input; all else as in :class:`BatchNormBase`."""


class BatchNorm2d(BatchNormBase, torch.nn.BatchNorm2d, axes=(4,)):
    """Batch normalization of (N, C, H, W) input; all else as in :class:`BatchNormBase`."""


class BatchNorm3d(BatchNormBase, torch.nn.BatchNorm3d, axes=(5,)):
    """Batch normalization of (N, C, D, H, W) input; all else as in :class:`BatchNormBase`."""


class LazyBatchNormBase(LazyTorchNorm, BatchNormBase):
    """A layer that takes ``num_features`` from its first input, and is the plain layer from then on."""

    def __init__(
        self,
        *args: Any,
        activation: str | nn.Module | None = None,
        inplace: bool = False,
        single_value: str = "error",
        channel_axis: int = 1,
        **others: Any,
    ) -> None:
        activation = activation_name(activation, invertible=inplace)
        check_single_value(single_value)
        check_channel_axis(channel_axis)
        super().__init__(*args, **others)  # torch's, which hands none of these on
        self.activation, self.inplace, self.single_value = activation, inplace, single_value
        self.channel_axis = channel_axis

    def initialize_parameters(self, x: Tensor, residual: Tensor | None = None, mask: Tensor | None = None) -> None:
        """Give parameters and buffers the size of x's feature axis."""
        self._check_input_dim(x)  # before anything is changed
        super().initialize_parameters(x if self.channel_axis == 1 else features_second(x))
        self.widen_statistics()
        self._reset_skipped_updates()


class LazyBatchNorm1d(LazyBatchNormBase, axes=BatchNorm1d.axes):
    """:class:`BatchNorm1d` of as many features as its first input has."""

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(LazyBatchNormBase, axes=BatchNorm2d.axes):
    """:class:`BatchNorm2d` of as many features as its first input has."""

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(LazyBatchNormBase, axes=BatchNorm3d.axes):
    """:class:`BatchNorm3d` of as many features as its first input has."""

    cls_to_become = BatchNorm3d
