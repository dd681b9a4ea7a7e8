"""The base of every layer: it checks the input, applies mask, residual and activation, and keeps wide statistics."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Proxy
from torch.nn import functional as F

from .. import kernels
from .._torch import LazyTorchNorm, TorchNorm
from ..errors import ArgumentError, ChannelError, DtypeError, ShapeError
from ..functional._tensors import check_mask, features_second
from . import exporting, masking
from .arguments import extend_signature
from .dispatch import code_for
from .finishing import activation_name, check_channel_axis, finish, wide_affine
from .naming import describe
from .statistics import WideStatistics

__all__ = ["NormBase"]


class RefusesConverters:
    """What converters of torch and timm ask a layer for, before they would rebuild it as torch's.

    It has no setter, so that what somebody sets on a layer is found first, as any attribute.
    """

    def __get__(self, layer: "NormBase | None", owner: type) -> Any:
        if layer is not None and (layer.activation is not None or layer.channel_axis != 1):
            raise ArgumentError(
                f"a converter of torch or timm must not rebuild a layer that does more than theirs, received "
                f"{describe(layer)}: it would be lost without a word. Use sn.synchronize_(model); or call "
                'sn.convert_(model, "torch") first, after which every tool of torch applies'
            )
        raise AttributeError(f"{owner.__name__} has no attribute 'qconfig'")


class NormBase(WideStatistics, TorchNorm):
    """The base of every layer: it checks the input, applies mask, residual and activation, and keeps wide statistics.

    A method says how it normalizes by its batch (``_normalize_by_batch``). By running statistics all methods that are
    affine maps of a feature normalize alike.
    """

    axes: tuple[int, ...]
    """How many axes an input may have; a class may give it beside its bases."""

    activation: str | None = None  # the class's own serves a layer of torch that has been frozen

    single_value = "error"
    channel_axis = 1
    qconfig = RefusesConverters()
    _by_batch = 0  # in how many settings of batch_statistics the layer is
    _single_by_running = 0  # in how many of single_values

    options: tuple[str, ...] = ("activation", "channel_axis")
    """The constructor's words beyond torch's."""

    refused: tuple[str, ...] = ()
    """Words of a base that mean nothing here."""

    def __init__(
        self, *args: Any, activation: str | nn.Module | None = None, channel_axis: int = 1, **others: Any
    ) -> None:
        name = activation_name(activation)
        check_channel_axis(channel_axis)
        super().__init__(*args, **others)
        self._check_settings()
        self.activation, self.channel_axis = name, channel_axis
        self.widen_statistics()

    def _check_settings(self) -> None:
        """Refuse what the constructor was given and no input could suit."""
        if self.num_features < 1 and not isinstance(self, LazyTorchNorm):  # which learns it from its first input
            raise ArgumentError(f"num_features must be 1 or more, received {self.num_features}")
        if self.eps < 0:
            raise ArgumentError(f"eps must be 0 or more, received {self.eps}")
        if self.momentum is not None and not 0 <= self.momentum <= 1:
            raise ArgumentError(f"momentum must be between 0 and 1, or None, received {self.momentum}")

    def __init_subclass__(cls, axes: tuple[int, ...] | None = None, **others: Any) -> None:
        super().__init_subclass__(**others)
        if axes is not None:
            cls.axes = axes
        own = extend_signature(cls)
        cls.options += tuple(name for name in own if name not in (*cls.options, "bias"))

    def forward(self, x: Tensor, residual: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Return activation(norm(x) + residual), and 0 where the mask is False.

        Shape: x, residual and the result (N, C, *S), mask broadcastable to (N, 1, *S); with ``channel_axis=-1`` (N, *S,
        C) and (N, *S, 1).
        """
        if isinstance(x, Proxy):  # fx would trace into a class from outside torch
            path = x.tracer.path_of_module(self)
            given = {name: v for name, v in (("residual", residual), ("mask", mask)) if v is not None}
            return x.tracer.create_proxy("call_module", path, (x,), given)
        if mask is None and masking.open_blocks:
            mask = masking.mask_for(self, x, self.channel_axis)
        moved = self.channel_axis != 1
        if moved:  # a view, whose features are the innermost as in channels_last
            x, residual, mask = _features_second(x, residual, mask)
        by_batch = self._is_by_batch_of(x)
        self._check_input(x, residual, mask, by_batch)
        if mask is not None:  # what is hidden may be NaN, and would reach gradients as 0 · NaN
            x = torch.where(mask, x, 0)
            residual = None if residual is None else torch.where(mask, residual, 0)
        normalize = self._normalize_by_batch if by_batch else self._normalize_by_running
        y = normalize(x, residual, mask)
        if mask is not None:
            y = torch.where(mask, y, 0)
        return y.movedim(1, -1) if moved else y

    def _normalize_by_running(self, x: Tensor, residual: Tensor | None, mask: Tensor | None) -> Tensor:
        """Return activation(norm(x) + residual) by the running statistics; the mask as in the other."""
        mean, var, weight, bias = self._constants()
        code = code_for(x, residual, weight, bias, mean)
        if code != "torch":
            what = x, residual, weight, bias, mean, var, self.eps, self.activation
            return kernels.normalize(*what, traced=code != "kernel")
        if mask is None and exporting.is_exporting():
            return exporting.batch_norm(self, x, residual, (mean, var), (weight, bias), by_batch=False)
        y = F.batch_norm(x, mean, var, *wide_affine(weight, bias), False, 0.0, self.eps)
        return finish(y, residual, self.activation)

    def _constants(self) -> tuple[Any, ...]:
        """Return running mean, running variance, γ and β, as evaluation takes them."""
        return self.running_mean, self.running_var, self.weight, self.bias

    def check(self, x: Tensor, residual: Tensor | None = None, mask: Tensor | None = None) -> None:
        """Raise what a call with these arguments would raise, and change nothing."""
        if self.channel_axis != 1:
            x, residual, mask = _features_second(x, residual, mask)
        self._check_input(x, residual, mask, self._is_by_batch_of(x))

    def _is_by_batch_of(self, x: Tensor) -> bool:
        """Tell whether this batch is normalized by its own statistics."""
        return self._is_by_batch() and not (self._takes_single_values() and self._has_one_value(x))

    def _is_by_batch(self) -> bool:
        """Tell whether this call normalizes with the batch's own statistics."""
        return self.training or self.running_mean is None or self._by_batch > 0

    def _takes_single_values(self) -> bool:
        """Tell whether one value a feature is normalized by the running statistics, and counts for nothing."""
        wanted = self._single_by_running > 0 or self.single_value == "running"
        return wanted and self.running_mean is not None

    def _normalize_by_batch(self, x: Tensor, residual: Tensor | None, mask: Tensor | None) -> Tensor:
        """Return activation(norm(x) + residual) by the batch's own statistics; move the running ones, if they are to.

        Where the mask is False, x and the residual are 0, and the result may be anything.
        """
        raise NotImplementedError

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in self.axes:
            expected = " or ".join(f"{n}D" for n in self.axes)
            raise ShapeError(
                f"expected {expected} input (got {input.dim()}D input)\nThe layer is {describe(self)}. The input must "
                f"be {self._layout}: add the missing axes, or take the layer for as many positions as the input has."
            )

    @property
    def _layout(self) -> str:
        return "(N, C, *S)" if self.channel_axis == 1 else "(N, *S, C)"

    def _has_one_value(self, x: Tensor) -> bool:
        """Tell whether a feature has a single value to be normalized by."""
        return x.shape[0] * x.shape[2:].numel() == 1

    def _check_input(self, x: Tensor, residual: Tensor | None, mask: Tensor | None, by_batch: bool) -> None:
        """Refuse bad input before anything is changed, in torch's words where torch has them."""
        if not x.is_floating_point():
            raise DtypeError(
                f'"batch_norm" not implemented for {x.dtype}\nThe layer is {describe(self)}. It needs a real '
                "floating-point tensor: call .float() first."
            )
        if x.is_nested:
            raise ShapeError(
                f"batch norm takes no nested tensor\nThe layer is {describe(self)}. Pad it, and say by mask= which "
                "positions count: steadynorm.nn.mask gives one mask to all layers."
            )
        self._check_input_dim(x)
        for name in ("running_mean", "weight", "bias"):
            v = getattr(self, name)
            unused = name == "running_mean" and self.training and not self.track_running_stats
            if v is not None and not unused and v.numel() != x.shape[1]:
                raise ChannelError(
                    f"{name} should contain {x.shape[1]} elements not {v.numel()}\nThe layer is {describe(self)}. The "
                    f"input must be {self._layout}: permute it, set channel_axis, or make the layer for as many "
                    "features."
                )
        if by_batch and self._has_one_value(x):
            raise ShapeError(
                f"Expected more than 1 value per channel when training, got input size {x.shape}\n"
                f"The layer is {describe(self)}. One value is its own mean, so nothing of it would be left. Ways out: "
                "a larger batch, or drop_last=True in the loader; a larger image, if the map has shrunk to 1×1; if "
                'batches of one are meant, single_value="running" (for a whole model steadynorm.single_values), eval() '
                "on this layer, or another normalization (group, layer)."
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

    def __dir__(self) -> list[str]:
        """Leave out what a layer refuses to say: who lists attributes asks for each."""
        return [name for name in super().__dir__() if name != "qconfig"]  # type: ignore[no-untyped-call]

    def extra_repr(self) -> str:
        """Return torch's text, and the options that are set."""
        values = {name: getattr(self, name) for name in self.options}
        text: str = super().extra_repr()  # type: ignore[no-untyped-call]
        shown = {name: v for name, v in values.items() if v not in (None, False, getattr(type(self), name, None))}
        return text + "".join(f", {name}={v}" for name, v in shown.items())


def _features_second(
    x: Tensor, residual: Tensor | None, mask: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    residual, mask = (None if v is None else features_second(v) for v in (residual, mask))
    return features_second(x), residual, mask


extend_signature(NormBase)
