"""A copy of a model to work on, so that the model itself is never touched."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ..._torch import plain_name
from ...errors import ModelError
from ..layers import uncompiled

__all__ = ["duplicate", "with_values"]


def with_values(model: nn.Module) -> nn.Module:
    """Return the model without a compiler's wrapper, after checking that there is something to compute with.

    Raises: ModelError for TorchScript, lazy parameters and the meta device; ArgumentError if it is no module.
    """
    original = uncompiled(model)
    if isinstance(original, torch.jit.ScriptModule):
        raise ModelError("a TorchScript module cannot be looked into: give the model that it was made from")
    for name, tensor in (*original.named_parameters(), *original.named_buffers()):
        if nn.parameter.is_lazy(tensor):
            raise ModelError(f"the model must be initialized, but {name} is not: run it once")
        if tensor.is_meta:
            raise ModelError(f"the model must hold values, but {name} is on the meta device: load its weights first")
    return original


def duplicate(model: nn.Module) -> nn.Module:
    """Return a deep copy, without ``torch.compile``'s wrappers, each module in the mode of its original.

    Raises: ModelError if the model cannot be copied, or if its own ``__deepcopy__`` gives something else than a copy.
    """
    memo: dict[int, Any] = {}
    modes = [(module, module.training) for module in model.modules()]
    try:
        for module in model.modules():
            for value in vars(module).values():  # torch refuses to copy a computed tensor, such as weight_norm leaves
                if isinstance(value, Tensor) and not value.is_leaf:
                    memo[id(value)] = value.detach().clone()
        for module in reversed(list(model.modules())):  # wrappers of inner modules first
            if uncompiled(module) is not module:
                memo[id(module)] = copy.deepcopy(uncompiled(module), memo)
        duplicated = copy.deepcopy(uncompiled(model), memo)
    except Exception as error:
        raise ModelError(
            f"the model must be one that copy.deepcopy can copy, but {type(error).__name__}: {error}"
        ) from error
    finally:
        for module, mode in modes:  # a __deepcopy__ of the model's own may have changed them
            module.training = mode
    _check(uncompiled(model), duplicated)
    return duplicated


def _check(model: nn.Module, duplicated: Any) -> None:
    """Refuse what is no copy; bring the copy's modes in line, which some of torchvision's models do not copy."""
    remedy = "a model's __deepcopy__ must return an independent model of the same modules and values"
    if not isinstance(duplicated, nn.Module):
        raise ModelError(f"a copy of the model must be a module, but is {type(duplicated).__name__}: {remedy}")
    theirs, ours = _modules(model), _modules(duplicated)
    if theirs.keys() != ours.keys():
        names = ", ".join(sorted(theirs.keys() ^ ours.keys())[:3])
        raise ModelError(f"a copy of the model must have the same modules, but differs in {names}: {remedy}")
    for name, module in ours.items():
        if module is theirs[name]:
            raise ModelError(f"a copy of the model must share nothing with it, but shares {name or 'itself'}: {remedy}")
        module.training = theirs[name].training
    before, after = _tensors(model), _tensors(duplicated)
    if before.keys() != after.keys():
        names = ", ".join(sorted(before.keys() ^ after.keys())[:3])
        raise ModelError(f"a copy of the model must have the same tensors, but differs in {names}: {remedy}")
    for name, tensor in after.items():
        original = before[name]
        if tensor.numel() and tensor.untyped_storage().data_ptr() == original.untyped_storage().data_ptr():
            raise ModelError(f"a copy of the model must share nothing with it, but shares {name}: {remedy}")
        if not (tensor.shape == original.shape and tensor.dtype == original.dtype and _equal(tensor, original)):
            raise ModelError(f"a copy of the model must hold the same values, but {name} differs: {remedy}")


def _equal(a: Tensor, b: Tensor) -> bool:
    return torch.equal(*(t.nan_to_num() if t.is_floating_point() else t for t in (a, b)))


def _modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return every module by its name, without the names that a compiler's wrappers add."""
    found = model.named_modules(remove_duplicate=False)
    return {plain_name(name): uncompiled(module) for name, module in found}


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    found = (*model.named_parameters(), *model.named_buffers())
    return {plain_name(name): tensor for name, tensor in found}
