"""A copy of a model to work on, so that the model itself is never touched."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

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
    """Return a deep copy, without ``torch.compile``'s wrappers.

    Raises: ModelError if the model cannot be copied.
    """
    memo: dict[int, Any] = {}
    try:
        for module in model.modules():
            for value in vars(module).values():  # torch refuses to copy a computed tensor, such as weight_norm leaves
                if isinstance(value, Tensor) and not value.is_leaf:
                    memo[id(value)] = value.detach().clone()
        for module in reversed(list(model.modules())):  # wrappers of inner modules first
            if uncompiled(module) is not module:
                memo[id(module)] = copy.deepcopy(uncompiled(module), memo)
        return copy.deepcopy(uncompiled(model), memo)
    except Exception as error:
        raise ModelError(
            f"the model must be one that copy.deepcopy can copy, but {type(error).__name__}: {error}"
        ) from error
