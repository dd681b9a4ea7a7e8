"""Batch norms made into ones that share their batch with other processes, and back."""

from typing import Any

import torch
from torch import nn
from torch.distributed import ProcessGroup

from .._torch import buffers_of, forget_buffer
from ..nn.batchnorm import BatchNormBase
from ..nn.sync import OF_EXCHANGE, Held, SyncBatchNorm
from ..reports import Report
from .change import Change
from .layers import FREEZING, SYNCHRONIZING, Layer

__all__ = ["desynchronize_", "synchronize_"]

OWN = {"__doc__", "__init__", "__module__", "__qualname__", "__firstlineno__", "__static_attributes__"}


def synchronize_(model: nn.Module, process_group: ProcessGroup | None = None) -> Report:
    """Make the batch norms of a model into :class:`steadynorm.nn.SyncBatchNorm`, in place.

    Each stays the module that it is, with the same parameters, buffers, hooks, mode and state_dict keys, and remembers
    what it was: :func:`desynchronize_` gives it back. No process group is needed for it, nor another rank: do it before
    wrapping the model in DistributedDataParallel, on every rank alike. The model behaves as before until there is a
    group. ``inplace=True`` then waits: while ranks exchange, no input is overwritten.

    Torch's batch norms and ours are taken, and subclasses that define nothing but a constructor. Skipped, with the
    reason, is what would lose its behaviour: a subclass with a ``forward`` or anything else of its own, our other
    methods, frozen layers, lazy ones that have not run yet.

    Args:
        model: changed in place; the layer itself, too.
        process_group: whose batches are one; None for all processes, looked up at each call, or for the group that a
            layer of ``torch.nn.SyncBatchNorm`` has already.

    Returns: a row for every normalization layer: synchronized, or skipped and why.

    Differs from ``torch.nn.SyncBatchNorm.convert_sync_batchnorm``: the modules are changed and not replaced; there is
    a way back; nothing is dropped without a word.
    """

    def synchronize(layer: Layer) -> dict[str, str]:
        module = layer.module
        before: dict[str, Any] = {"class": type(module)}
        own = getattr(module, "process_group", None)
        theirs = not isinstance(module, BatchNormBase)
        if theirs:
            before["process_group"] = Held(vars(module).pop("process_group", None))
            before["dtype"] = None if module.running_mean is None else module.running_mean.dtype
        vars(module)[SYNCHRONIZING] = before
        module.__class__ = SyncBatchNorm
        if theirs:
            module.register_buffer("skipped_updates", None, persistent=False)
            module._reset_skipped_updates()
            module.widen_statistics()
        module.process_group = own if process_group is None else process_group
        return {"done": "synchronized"}

    change = Change(model, _why_not_synchronized)
    change.each(synchronize)
    return change.report("synchronized")


def desynchronize_(model: nn.Module) -> Report:
    """Undo :func:`synchronize_`: each layer has its class back, for as many dimensions as it had, and loses nothing.

    What it has learned meanwhile stays. A ``SyncBatchNorm`` that was made as one, by its constructor, does not know for
    how many dimensions it is, and is skipped; :func:`convert_` with a function converts it.

    Args:
        model: changed in place; the layer itself, too.

    Returns: a row for every normalization layer: desynchronized, or skipped and why.
    """
    change = Change(model, _why_not_desynchronized)
    change.each(_desynchronize)
    return change.report("desynchronized")


def _desynchronize(layer: Layer) -> dict[str, str]:
    module = layer.module
    before = vars(module).pop(SYNCHRONIZING)
    for name in OF_EXCHANGE:
        vars(module).pop(name, None)
    module.__class__ = before["class"]
    if not issubclass(before["class"], BatchNormBase):
        forget_buffer(module, "skipped_updates")
        if issubclass(before["class"], nn.SyncBatchNorm):
            vars(module)["process_group"] = before["process_group"].group
        if layer.statistics and before["dtype"] in (torch.float16, torch.bfloat16):
            for name in ("running_mean", "running_var"):
                buffers_of(module)[name] = getattr(module, name).to(before["dtype"])
    return {"done": "desynchronized"}


def _why_not_synchronized(layer: Layer) -> str | None:
    if layer.is_synchronized:
        return "is synchronized already"
    if layer.why_held or layer.is_frozen:
        return "is frozen: unfreeze_ it first"
    if layer.why_no_batch_norm:
        return "is no batch norm: it takes no statistics over examples"
    users = type(layer.module).__mro__[: type(layer.module).__mro__.index(layer.base)]
    own = sorted({name for user in users for name in vars(user)} - OWN)
    lost = f"{layer.kind} has {', '.join(own)} of its own, which would be lost" if own else None
    return layer.why_unready or layer.why_not_by_moments or layer.why_not_another or lost


def _why_not_desynchronized(layer: Layer) -> str | None:
    if FREEZING in vars(layer.module) and (layer.is_synchronized or SYNCHRONIZING in vars(layer.module)):
        return layer.why_held
    if not layer.is_synchronized:
        return "is not synchronized"
    if SYNCHRONIZING not in vars(layer.module):
        return "was made synchronized, so nothing says for how many dimensions: convert_ with a function"
    return layer.why_not_another
