"""Batch normalization as a layer: parameters, buffers, modes. The formulas are in :mod:`steadynorm.functional`."""

from typing import Any

import torch
from torch import Tensor
from torch.fx import Proxy
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm, _LazyNormBase, _NormBase

from .. import functional
from ..errors import ArgumentError, ChannelError, ShapeError
from ..functional.tensors import check_mask, widen
from .activations import ACTIVATIONS, check_activation
from .naming import describe
from .recomputation import is_recomputation
from .statistics import WideStatistics

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "LazyBatchNorm1d", "LazyBatchNorm2d", "LazyBatchNorm3d"]


class NormBase(WideStatistics, _NormBase):
    """What every layer here does around its way to normalize: checks, mask, residual, activation, wide statistics.

    A layer says how it normalizes by its batch (``_normalize_by_batch``); by running statistics all do it alike.
    """

    axes: tuple[int, ...]
    """How many axes an input may have."""

    activation: str | None

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
        check_activation(activation)
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.activation = activation
        self.widen_statistics()
        self._register_more()

    def _register_more(self) -> None:
        """Register what this layer keeps besides torch's parameters and buffers."""

    def forward(self, x: Tensor, residual: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Return activation(norm(x) + residual), and 0 where the mask is False.

        Shape: x, residual and the result (N, C, *S), mask broadcastable to (N, 1, *S).
        """
        if isinstance(x, Proxy):  # fx would trace into a class from outside torch
            path = x.tracer.path_of_module(self)
            given = {name: v for name, v in (("residual", residual), ("mask", mask)) if v is not None}
            return x.tracer.create_proxy("call_module", path, (x,), given)
        by_batch = self._is_by_batch()
        self._check_input(x, residual, mask, by_batch)
        if mask is not None:  # what is hidden may be NaN, and would reach gradients as 0 · NaN
            x = torch.where(mask, x, 0)
            residual = None if residual is None else torch.where(mask, residual, 0)
        y = self._normalize_by_batch(x, mask) if by_batch else self._normalize_by_running(x, mask)
        if residual is not None:
            y = y + residual
        if self.activation is not None:
            y = ACTIVATIONS[self.activation](y)
        return y if mask is None else torch.where(mask, y, 0)

    def _normalize_by_running(self, x: Tensor, mask: Tensor | None) -> Tensor:
        gamma, beta = self._affine()
        return F.batch_norm(x, self.running_mean, self.running_var, gamma, beta, False, 0.0, self.eps)

    def _is_by_batch(self) -> bool:
        """Tell whether this call normalizes with the batch's own statistics."""
        return self.training or self.running_mean is None

    def _normalize_by_batch(self, x: Tensor, mask: Tensor | None) -> Tensor:
        raise NotImplementedError

    def _affine(self) -> tuple[Tensor | None, Tensor | None]:
        """Return γ and β in float32 or wider: torch's operators refuse 16-bit ones beside wide statistics."""
        return tuple(None if v is None else widen(v) for v in (self.weight, self.bias))  # type: ignore[return-value]

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in self.axes:
            expected = " or ".join(f"{n}D" for n in self.axes)
            raise ShapeError(f"expected {expected} input (got {input.dim()}D input)")

    def _check_input(self, x: Tensor, residual: Tensor | None, mask: Tensor | None, by_batch: bool) -> None:
        """Refuse bad input before anything is changed, in torch's words where torch has them."""
        self._check_input_dim(x)
        for name in ("running_mean", "weight", "bias"):
            v = getattr(self, name)
            unused = name == "running_mean" and self.training and not self.track_running_stats
            if v is not None and not unused and v.numel() != x.shape[1]:
                raise ChannelError(f"{name} should contain {x.shape[1]} elements not {v.numel()}")
        if by_batch and x.shape[0] * x.shape[2:].numel() == 1:
            raise ShapeError(
                f"Expected more than 1 value per channel when training, got input size {x.shape}\n"
                f"The layer is {describe(self)}. One value is its own mean, so nothing of it would be left. Ways out: "
                "a larger batch, or drop_last=True in the loader; a larger image, if the map has shrunk to 1×1; eval() "
                "on this layer, or another normalization (group, layer), if batches of one are meant."
            )
        if by_batch and self.eps <= 0.0:
            raise ArgumentError(f"batch_norm eps must be positive during training, but got {self.eps}")
        if self.eps < 0.0:
            raise ArgumentError(f"batch_norm eps must be non-negative, but got {self.eps}")
        if residual is not None and residual.shape != x.shape:
            want, have = tuple(x.shape), tuple(residual.shape)
            raise ShapeError(f"the residual must have the input's shape {want}, received {have}")
        if mask is not None:
            check_mask(mask, x)

    def extra_repr(self) -> str:
        """Return torch's text, and the activation if there is one."""
        text: str = super().extra_repr()  # type: ignore[no-untyped-call]
        return text + (f", activation={self.activation}" if self.activation else "")


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

    _pauses = 0  # in how many paused_statistics blocks the layer is

    def _register_more(self) -> None:
        self.register_buffer("skipped_updates", None, persistent=False)  # after torch's three, and in no checkpoint
        self._reset_skipped_updates()

    def _normalize_by_batch(self, x: Tensor, mask: Tensor | None) -> Tensor:
        gamma, beta = self._affine()
        tracks = self.training and self.track_running_stats and self.running_mean is not None
        if mask is not None or not self._is_plain:
            y, moments = self._transform(x, gamma, beta, mask)
            (mean, var), present = self._stored(moments), moments.count > 0
        elif tracks:
            # torch's operator writes the batch's own mean and unbiased variance here, and they are averaged in below: a
            # running buffer that backward saved is never repaired in place. They are passed whether or not they will be
            # used, so that a recomputation saves the same tensors.
            mean, var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)  # type: ignore[arg-type]
            present = None
            y = F.batch_norm(x, mean, var, gamma, beta, True, 1.0, self.eps)
        else:
            y = F.batch_norm(x, None, None, gamma, beta, True, 0.0, self.eps)
        if tracks and not self._pauses and not is_recomputation():
            self._update_running_statistics(x, mean, var, present)
        return y

    # In these a method may differ from batch norm; all else is the same for each.

    _is_plain = True  # whether _transform is batch norm's, which torch's operator computes too

    def _transform(
        self, x: Tensor, gamma: Tensor | None, beta: Tensor | None, mask: Tensor | None
    ) -> tuple[Tensor, Any]:
        """Normalize by the batch, and return what :meth:`_stored` takes the running statistics from."""
        return functional.batch_norm(x, gamma, beta, eps=self.eps, mask=mask)

    def _stored(self, moments: Any) -> tuple[Tensor, Tensor]:
        """Return what is averaged into the running mean and variance."""
        return moments.mean, moments.unbiased_var

    def _running(self) -> functional.RunningStatistics:
        tracked = self.num_batches_tracked
        if tracked is None:  # torch allows to take this one away
            tracked = torch.zeros((), dtype=torch.int64, device=self.running_mean.device)  # type: ignore[union-attr]
        return functional.RunningStatistics(self.running_mean, self.running_var, tracked, self.skipped_updates)  # type: ignore[arg-type]

    @torch.no_grad()
    def _update_running_statistics(self, x: Tensor, mean: Tensor, var: Tensor, present: Tensor | None) -> None:
        if x.numel() == 0:  # nothing to average; torch counts the batch, and with equal weights that would be wrong
            if self.momentum is not None and self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
            return
        running = self._running()
        moved = functional.update_running_statistics(running, mean, var, momentum=self.momentum, present=present)
        for buffer, value in zip(running, moved, strict=True):
            buffer.copy_(value)

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
    ) -> None:
        check_activation(activation)
        super().__init__(eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.activation = activation

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
