"""Batch norms held as they are: statistics, γ and β, or both; and let go again."""

from torch import Tensor, nn

from ..errors import ArgumentError
from ..nn.frozen import FrozenBatchNorm, FrozenBatchNorm1d, FrozenBatchNorm2d, FrozenBatchNorm3d, FrozenBatchNormBase
from ..reports import Report
from .change import Change
from .layers import FREEZING, Layer, Where

__all__ = ["freeze_", "unfreeze_"]

FROZEN: dict[int | None, type[FrozenBatchNormBase]] = {
    1: FrozenBatchNorm1d,
    2: FrozenBatchNorm2d,
    3: FrozenBatchNorm3d,
    None: FrozenBatchNorm,
}


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
        where: ``where(name, module) -> bool`` selects layers, or a pattern such as ``"backbone.*"``, or several.

    Returns: a row for every normalization layer: frozen, what of it, and how many batches its statistics have seen; or
    skipped and why.

    Raises: ArgumentError if nothing is to be frozen.
    """
    if not (statistics or affine):
        raise ArgumentError("statistics or affine must be True, received False for both: nothing would be frozen")
    change = Change(model, lambda layer: _why_not(layer, statistics, affine), where)
    change.each(lambda layer: {"done": _freeze(layer, statistics, affine), "batches": _batches(layer.module)})
    fresh = [layer.label for layer in change.taken if _batches(layer.module) == 0]
    notes = [f"these had seen no batch, so they are frozen at what was loaded or at 0 and 1: {', '.join(fresh)}"]
    return change.report("froze", ("batches",), notes if fresh else ())


def unfreeze_(model: nn.Module, where: Where | None = None) -> Report:
    """Undo :func:`freeze_`: each layer has its class back, and its parameters train if they did before.

    Nothing is lost on the way: momentum, counters, settings and hooks are those from before.

    Args:
        model: changed in place; the layer itself, too.
        where: ``where(name, module) -> bool`` selects layers, or a pattern such as ``"backbone.*"``, or several.

    Returns: a row for every normalization layer: unfrozen, or skipped and why.
    """
    change = Change(model, _why_not_unfrozen, where)
    change.each(lambda layer: {"done": _unfreeze(layer)})
    return change.report("unfroze")


def _why_not(layer: Layer, statistics: bool, affine: bool) -> str | None:
    """Say why there is nothing to freeze in a layer, or no way to; None if there is."""
    frozen = isinstance(layer.module, FrozenBatchNormBase)
    if not (layer.is_batch_norm or frozen):
        return "frozen already, by another package" if layer.is_frozen else layer.why_no_batch_norm
    if layer.why_unready:
        return layer.why_unready
    if frozen and (layer.module.affine_frozen or not affine):
        return "frozen already"
    if frozen or not statistics:
        return None if any(True for _ in layer.module.parameters(recurse=False)) else "has neither γ nor β"
    return layer.why_no_statistics or layer.why_not_affine or layer.why_not_another


def _why_not_unfrozen(layer: Layer) -> str | None:
    made = isinstance(layer.module, FrozenBatchNormBase)
    why = "was made frozen: convert_ makes it a batch norm" if made else "is not frozen"
    return None if layer.why_held else why


def _freeze(layer: Layer, statistics: bool, affine: bool) -> str:
    """Freeze one layer, and say what of it is frozen."""
    module = layer.module
    trained = {name: p.requires_grad for name, p in module.named_parameters(recurse=False)}
    memory = vars(module).setdefault(FREEZING, {"class": type(module), "trained": trained, "affine": False})
    memory["affine"] |= affine
    if statistics and not isinstance(module, FrozenBatchNormBase):
        module.__class__ = FROZEN[layer.dimensions]
    if memory["affine"]:
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
    held = isinstance(module, FrozenBatchNormBase)
    if held:
        module.affine_frozen = memory["affine"]
    return " and ".join(["statistics"] * held + ["affine"] * memory["affine"])


def _unfreeze(layer: Layer) -> str:
    module = layer.module
    memory = vars(module).pop(FREEZING)
    vars(module).pop("affine_frozen", None)
    module.__class__ = memory["class"]
    if memory["affine"]:
        for name, trained in memory["trained"].items():
            getattr(module, name).requires_grad_(trained)
    return "unfrozen"


def _batches(module: nn.Module) -> int | None:
    counted = module.num_batches_tracked
    return int(counted) if isinstance(counted, Tensor) and not counted.is_meta else None
