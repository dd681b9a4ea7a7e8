"""What a model's batch norms are to do otherwise for a while; torch's are ours for that time."""

import threading
import warnings
import weakref
from types import TracebackType
from typing import Any, Self

from torch import nn

from .._torch import forget_buffer
from ..nn.batchnorm import BatchNormBase
from ..reports import Report
from .change import Change
from .layers import OURS, Layer, Where

__all__ = ["Setting"]

_lock = threading.Lock()
# Layers of torch that are ours for now: the class that each gets back, and how many settings it is in.
_borrowed: weakref.WeakKeyDictionary[nn.Module, tuple[type[nn.Module], int]] = weakref.WeakKeyDictionary()


class Setting:
    """A setting of some of a model's layers: it holds from the call on, until :meth:`remove` or the end of a block.

    A layer of torch has our class for that time, with its own parameters, buffers, hooks and state_dict. Settings may
    overlap in any order, and in several threads. A copy of the model made meanwhile keeps the setting.
    """

    report: Report
    """A row a normalization layer: set, or skipped and why."""

    def __init__(self, model: nn.Module, name: str, where: Where | None) -> None:
        change = Change(model, _why_not, where)
        self._name = name
        self._layers: list[Any] = [layer.module for layer in change.taken]
        for layer in change.taken:
            change.note(layer, "set")
        self.report = change.report("set")
        left = [layer.name for layer in change.layers if layer.is_batch_norm and layer not in change.taken]
        if where is None and left and self._layers:
            warnings.warn(f"batch norms that stay as they are: {', '.join(left)}; see report", stacklevel=3)
        with _lock:
            for layer in change.taken:
                _borrow(layer)
                setattr(layer.module, name, getattr(layer.module, name) + 1)

    def remove(self) -> None:
        """End the setting; a second time does nothing."""
        with _lock:
            layers, self._layers = self._layers, []
            for layer in layers:
                if (left := getattr(layer, self._name) - 1) > 0:
                    setattr(layer, self._name, left)
                else:
                    delattr(layer, self._name)  # the class says 0
                _give_back(layer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def _why_not(layer: Layer) -> str | None:
    if why := layer.why_no_batch_norm or layer.why_unready:
        return why
    if not layer.computes():
        return f"{layer.kind} overrides forward"
    if isinstance(layer.module, nn.SyncBatchNorm) and not isinstance(layer.module, BatchNormBase):
        return 'is synchronized by torch: convert_ it to "sync" first'
    known = isinstance(layer.module, BatchNormBase) or layer.dimensions is not None
    return None if known else f"{layer.kind} does not say for how many dimensions it is"


def _borrow(layer: Layer) -> None:
    module = layer.module
    if module in _borrowed:
        kind, settings = _borrowed[module]
        _borrowed[module] = kind, settings + 1
    elif not isinstance(module, BatchNormBase):
        _borrowed[module] = type(module), 1
        module.__class__ = OURS[layer.dimensions or 1]
        module.register_buffer("skipped_updates", None, persistent=False)
        module._reset_skipped_updates()


def _give_back(module: Any) -> None:
    if module not in _borrowed:
        return
    kind, settings = _borrowed.pop(module)
    if settings > 1:
        _borrowed[module] = kind, settings - 1
        return
    module.__class__ = kind
    forget_buffer(module, "skipped_updates")
