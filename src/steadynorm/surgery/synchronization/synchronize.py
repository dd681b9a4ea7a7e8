"""Batch norms made into ones that share their batch with other processes, and back."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.distributed import ProcessGroup

from ...nn.batchnorm import BatchNormBase
from ...nn.frozen import FrozenBatchNormBase
from ...nn.synchronization import SyncBatchNorm
from ...nn.synchronization.layer import OF_EXCHANGE, Held
from ...reports import Report
from ..conversion.become import why_not_another
from ..conversion.forms import MEMORY, SYNCHRONIZED
from ..layers import Layer, normalization_layers, uncompiled
from ..transaction import transaction

__all__ = ["desynchronize_", "synchronize_"]

OWN = {"__doc__", "__init__", "__module__", "__qualname__", "__firstlineno__", "__static_attributes__"}


def synchronize_(model: nn.Module, process_group: ProcessGroup | None = None) -> Report:
    """Make the batch norms of a model into :class:`steadynorm.nn.SyncBatchNorm`, in place.

    Each stays the module that it is, with the same parameters, buffers, hooks, mode and state_dict keys, and remembers
    what it was: :func:`desynchronize_` gives it back. No process group is needed for it, nor another rank: do it before
    wrapping the model in DistributedDataParallel, on every rank alike. The model behaves as before until there is a
    group. ``inplace=True`` then waits: while ranks exchange, no input is overwritten.

    Torch's batch norms and ours are taken, and subclasses that define nothing but a constructor. Skipped, with the
    reason, is what would lose its behaviour: a subclass with a ``forward`` or anything else of its own, our variants,
    frozen layers, lazy ones that have not run yet.

    Args:
        model: changed in place; the layer itself, too.
        process_group: whose batches are one; None for all processes, looked up at each call, or for the group that a
            layer of ``torch.nn.SyncBatchNorm`` has already.

    Returns: a row for every normalization layer: synchronized, or skipped and why.

    Differs from ``torch.nn.SyncBatchNorm.convert_sync_batchnorm``: the modules are changed and not replaced; there is
    a way back; nothing is dropped without a word.
    """

    def synchronize(module: nn.Module) -> None:
        before: dict[str, Any] = {"class": type(module)}
        own = getattr(module, "process_group", None)
        theirs = not isinstance(module, BatchNormBase)
        if theirs:
            before["process_group"] = Held(vars(module).pop("process_group", None))
            before["dtype"] = None if module.running_mean is None else module.running_mean.dtype
        vars(module)[SYNCHRONIZED] = before
        module.__class__ = SyncBatchNorm
        assert isinstance(module, SyncBatchNorm)
        if theirs:
            module.register_buffer("skipped_updates", None, persistent=False)
            module._reset_skipped_updates()
            module.widen_statistics()
        module.process_group = own if process_group is None else process_group

    return _change(model, _why_not_synchronized, synchronize, "synchronized")


def desynchronize_(model: nn.Module) -> Report:
    """Undo :func:`synchronize_`: each layer has its class back, for as many dimensions as it had, and loses nothing.

    What it has learned meanwhile stays. A ``SyncBatchNorm`` that was made as one, by its constructor, does not know for
    how many dimensions it is, and is skipped; :func:`convert_` with a function converts it.

    Args:
        model: changed in place; the layer itself, too.

    Returns: a row for every normalization layer: desynchronized, or skipped and why.
    """

    def desynchronize(module: nn.Module) -> None:
        assert isinstance(module, SyncBatchNorm)
        before = vars(module).pop(SYNCHRONIZED)
        for name in OF_EXCHANGE:
            vars(module).pop(name, None)
        module.__class__ = before["class"]
        if issubclass(before["class"], BatchNormBase):
            return
        del module.skipped_updates
        module._non_persistent_buffers_set.discard("skipped_updates")
        if issubclass(before["class"], nn.SyncBatchNorm):
            vars(module)["process_group"] = before["process_group"].group
        for name in ("running_mean", "running_var"):
            statistic = module._buffers[name]
            if statistic is not None and before["dtype"] in (torch.float16, torch.bfloat16):
                module._buffers[name] = statistic.to(before["dtype"])

    return _change(model, _why_not_desynchronized, desynchronize, "desynchronized")


def _change(
    model: nn.Module, why_not: Callable[[Layer], str | None], change: Callable[[nn.Module], None], done: str
) -> Report:
    root = uncompiled(model)
    layers = normalization_layers(root)
    rows: list[dict[str, Any]] = []
    with transaction(root):
        for layer in layers:
            reason = why_not(layer)
            rows.append(
                {"layer": layer.label, "kind": layer.kind, "done": "skipped" if reason else done, "why": reason}
            )
            if reason is None:
                change(layer.module)
    count = sum(row["done"] == done for row in rows)
    notes = [] if rows else ["the model has no normalization layer"]
    title = f"{done} {count} of {len(rows)} normalization layers"
    return Report(title, ("layer", "kind", "done", "why"), rows, notes)


def _why_not_synchronized(layer: Layer) -> str | None:
    module, kind = layer.module, type(layer.module)
    if isinstance(module, SyncBatchNorm):
        return "is synchronized already"
    if MEMORY in vars(module) or isinstance(module, FrozenBatchNormBase) or "FrozenBatchNorm" in layer.kind:
        return "is frozen: unfreeze_ it first"
    if not layer.is_batch_norm:
        return "is no batch norm: it takes no statistics over examples"
    if any(nn.parameter.is_lazy(v) for v in (*module.parameters(), *module.buffers())):
        return "not initialized yet: run the model once"
    if isinstance(module, BatchNormBase) and type(module)._normalize_by_batch is not BatchNormBase._normalize_by_batch:
        return f"{layer.kind} normalizes otherwise than by the mean and the variance of the batch"
    why = why_not_another(module)
    if why is None:
        base = next(b for b in kind.__mro__ if b.__module__.split(".")[0] in ("torch", "steadynorm"))
        users = kind.__mro__[: kind.__mro__.index(base)]
        own = sorted({name for user in users for name in vars(user)} - OWN)
        if own:
            return f"{layer.kind} has {', '.join(own)} of its own, which would be lost"
    return why


def _why_not_desynchronized(layer: Layer) -> str | None:
    if SYNCHRONIZED in vars(layer.module) and not isinstance(layer.module, SyncBatchNorm):
        return "is frozen: unfreeze_ it first"
    if not isinstance(layer.module, SyncBatchNorm):
        return "is not synchronized"
    if MEMORY in vars(layer.module):
        return "is frozen: unfreeze_ it first"
    if SYNCHRONIZED not in vars(layer.module):
        return "was made synchronized, so nothing says for how many dimensions: convert_ with a function"
    return why_not_another(layer.module)
