"""Forwards that leave no trace in the running statistics: sharpness-aware and adversarial steps, shape probes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from .._torch import buffers_of
from ..nn.batchnorm import BatchNormBase
from .layers import PAUSED, layers_of

__all__ = ["paused_statistics"]


@dataclass
class _Pause:
    """How many blocks a layer of torch is in, and what it gets back from the last of them."""

    blocks: int
    momentum: float | None
    buffers: dict[str, Tensor | None]


_lock = threading.Lock()


@contextmanager
def paused_statistics(model: nn.Module) -> Iterator[None]:
    """In this block batch-norm layers in training use the batch's statistics, and their running ones stay untouched.

    Blocks nest, and may overlap in several threads: a layer resumes when the last block that it is in ends. Layers in
    evaluation work as ever. Under activation checkpointing the recomputation may come after the block, and saves the
    same tensors.

    Our layers know that they are paused. Torch's are given copies of their buffers for the time of the block, and
    momentum 0. So keep to two rules with these: do not copy or pickle the model inside the block; and if they are
    checkpointed, call ``backward`` inside it, since a recomputation after it counts, as torch's always does.

    Args:
        model: any model; the layer itself, too. Compiled ones are traced again.

    Raises: ArgumentError if it is no module.
    """
    layers = [layer.module for layer in layers_of(model) if layer.is_batch_norm]
    entered: list[nn.Module] = []
    try:
        for layer in layers:
            with _lock:
                _enter(layer)
                entered.append(layer)
        yield
    finally:
        for layer in entered:
            with _lock:
                _leave(layer)


def _enter(layer: Any) -> None:
    if isinstance(layer, BatchNormBase):
        layer._pauses += 1
    elif layer in PAUSED:
        PAUSED[layer].blocks += 1
    else:
        buffers = buffers_of(layer)
        PAUSED[layer] = _Pause(1, layer.momentum, dict(buffers))
        buffers.update({name: v if v is None else v.clone() for name, v in buffers.items()})
        layer.momentum = 0.0


def _leave(layer: Any) -> None:
    if isinstance(layer, BatchNormBase):
        layer._pauses -= 1
        return
    pause = PAUSED[layer]
    pause.blocks -= 1
    if pause.blocks == 0:
        del PAUSED[layer]
        layer.momentum = pause.momentum
        buffers_of(layer).update(pause.buffers)
