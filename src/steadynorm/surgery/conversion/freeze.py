"""Batch norms held as they are: statistics, γ and β, or both; and let go again."""

from typing import Any

from torch import Tensor, nn

from ...errors import ArgumentError
from ...nn.base import NormBase
from ...nn.frozen import FrozenBatchNorm, FrozenBatchNorm1d, FrozenBatchNorm2d, FrozenBatchNorm3d, FrozenBatchNormBase
from ...reports import Report
from ..layers import Layer, Where, normalization_layers, selected, uncompiled
from ..transaction import transaction
from .become import why_not_another
from .forms import MEMORY, dimensions

__all__ = ["freeze_", "unfreeze_"]

FROZEN: dict[int | None, type[FrozenBatchNormBase]] = {
    1: FrozenBatchNorm1d,
    2: FrozenBatchNorm2d,
    3: FrozenBatchNorm3d,
    None: FrozenBatchNorm,
}
COLUMNS = ("layer", "kind", "done", "batches", "why")


def freeze_(model: nn.Module, *, statistics: bool = True, affine: bool = False, where: Where | None = None) -> Report:
    """Hold batch norms as they are, whatever the model's mode.

    A layer with frozen statistics normalizes by its running mean and variance in training, too, and never changes them.
    It becomes a :class:`steadynorm.nn.FrozenBatchNorm2d` (``1d``, ``3d``) and stays the same module, with the same
    parameters, hooks and state_dict keys; so ``train()``, copies, pickles and checkpoints leave it frozen. It is none
    of torch's batch norms any more, so neither ``update_bn`` nor ``convert_sync_batchnorm`` nor the callbacks of
    training frameworks find it. Frozen γ and β require no gradient; in a layer whose statistics are frozen, too, they
    get none even if somebody calls ``model.requires_grad_(True)``.

    Args:
        model: changed in place; the layer itself, too. Under DistributedDataParallel freeze before wrapping.
        statistics: hold running mean and variance.
        affine: hold γ and β.
        where: ``where(name, module) -> bool`` selects layers.

    Returns: a row for every normalization layer: frozen, what of it, and how many batches its statistics have seen; or
    skipped and why.

    Raises: ArgumentError if nothing is to be frozen.
    """
    if not (statistics or affine):
        raise ArgumentError("statistics or affine must be True, received False for both: nothing would be frozen")
    root = uncompiled(model)
    rows: list[dict[str, Any]] = []
    with transaction(root):
        for layer, chosen in selected(normalization_layers(root), where):
            rows.append({"layer": layer.label, "kind": layer.kind})
            reason = _why_not(layer, statistics, affine) if chosen else "not selected"
            if reason is None:
                rows[-1] |= {"done": _freeze(layer.module, statistics, affine), "batches": _batches(layer.module)}
            else:
                rows[-1] |= {"done": "skipped", "why": reason}
    return _report("froze", rows)


def unfreeze_(model: nn.Module, where: Where | None = None) -> Report:
    """Undo :func:`freeze_`: each layer has its class back, and its parameters train if they did before.

    Nothing is lost on the way: momentum, counters, settings and hooks are those from before.

    Args:
        model: changed in place; the layer itself, too.
        where: ``where(name, module) -> bool`` selects layers.

    Returns: a row for every normalization layer: unfrozen, or skipped and why.
    """
    root = uncompiled(model)
    rows: list[dict[str, Any]] = []
    with transaction(root):
        for layer, chosen in selected(normalization_layers(root), where):
            rows.append({"layer": layer.label, "kind": layer.kind})
            if not chosen:
                rows[-1] |= {"done": "skipped", "why": "not selected"}
            elif MEMORY in vars(layer.module):
                _unfreeze(layer.module)
                rows[-1] |= {"done": "unfrozen"}
            else:
                frozen = isinstance(layer.module, FrozenBatchNormBase)
                why = "was made frozen: convert_ makes it a batch norm" if frozen else "is not frozen"
                rows[-1] |= {"done": "skipped", "why": why}
    return _report("unfroze", rows)


def _why_not(layer: Layer, statistics: bool, affine: bool) -> str | None:
    """Say why there is nothing to freeze in a layer, or no way to; None if there is."""
    module = layer.module
    frozen = isinstance(module, FrozenBatchNormBase)
    if not (layer.is_batch_norm or frozen):
        return "frozen already, by another package" if "FrozenBatchNorm" in layer.kind else "is no batch norm"
    if any(nn.parameter.is_lazy(v) for v in (*module.parameters(), *module.buffers())):
        return "not initialized yet: run the model once"
    if frozen and (module.affine_frozen or not affine):
        return "frozen already"
    if (frozen or not statistics) and not any(v is not None for v in module._parameters.values()):
        return "has neither γ nor β"
    if frozen or not statistics:
        return None
    if module.running_mean is None or module.running_var is None:
        return "keeps no running statistics"
    if isinstance(module, NormBase) and type(module)._normalize_by_running is not NormBase._normalize_by_running:
        return f"{layer.kind} normalizes otherwise than by a mean and a variance a feature"
    return why_not_another(module)


def _freeze(module: nn.Module, statistics: bool, affine: bool) -> str:
    """Freeze one layer, and say what of it is frozen."""
    trained = {name: p.requires_grad for name, p in module._parameters.items() if p is not None}
    memory = vars(module).setdefault(MEMORY, {"class": type(module), "trained": trained, "affine": False})
    memory["affine"] |= affine
    if statistics and not isinstance(module, FrozenBatchNormBase):
        module.__class__ = FROZEN[dimensions(module)]
    if memory["affine"]:
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
    held = isinstance(module, FrozenBatchNormBase)
    if held:
        module.affine_frozen = memory["affine"]
    return " and ".join(["statistics"] * held + ["affine"] * memory["affine"])


def _unfreeze(module: nn.Module) -> None:
    memory = vars(module).pop(MEMORY)
    vars(module).pop("affine_frozen", None)
    module.__class__ = memory["class"]
    if memory["affine"]:
        for name, trained in memory["trained"].items():
            module._parameters[name].requires_grad_(trained)  # type: ignore[union-attr]


def _batches(module: nn.Module) -> int | None:
    counted = module.num_batches_tracked
    return int(counted) if isinstance(counted, Tensor) and not counted.is_meta else None


def _report(done: str, rows: list[dict[str, Any]]) -> Report:
    count = sum(row["done"] != "skipped" for row in rows)
    notes = [] if rows else ["the model has no normalization layer"]
    fresh = [row["layer"] for row in rows if row.get("batches") == 0]
    if fresh:
        notes.append(
            f"these had seen no batch, so they are frozen at what was loaded or at 0 and 1: {', '.join(fresh)}"
        )
    return Report(f"{done} {count} of {len(rows)} normalization layers", COLUMNS, rows, notes)
