"""Parameters for an optimizer: which of them weight decay may touch."""

from typing import Any

from torch import nn
from torch.nn.parameter import Parameter, is_lazy

from ..errors import ArgumentError, ModelError
from .layers import is_normalization, uncompiled

__all__ = ["parameter_groups"]


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return two groups for an optimizer: weights with decay; γ, β and biases without.

    Decay pulls γ towards 0, and with it what the layer lets through; on weights in front of a normalization it only
    sets the effective learning rate (van Laarhoven 2017, arXiv:1706.05350). Without decay are all parameters of
    normalization layers, of any kind, and all parameters called ``bias`` or that have fewer than two axes. Every
    parameter that requires a gradient is there once, in the model's order; one that is shared between a normalization
    and another layer is not decayed.

    Args:
        model: any model.
        weight_decay: of the first group, 0 or more.

    Raises: ArgumentError; ModelError for parameters that are not initialized yet.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    >>> [(len(group["params"]), group["weight_decay"]) for group in parameter_groups(model, 1e-4)]
    [(1, 0.0001), (3, 0.0)]
    """
    if not weight_decay >= 0:
        raise ArgumentError(f"weight_decay must be 0 or more, received {weight_decay}")
    root = uncompiled(model)
    exempt: set[Parameter] = set()
    for module in root.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if is_lazy(parameter):
                kind = type(module).__name__
                raise ModelError(f"all parameters must be initialized, but {kind}'s {name} is not: run the model once")
            if is_normalization(module) or name == "bias" or parameter.dim() < 2:
                exempt.add(parameter)
    trained = [parameter for parameter in root.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trained if p not in exempt], "weight_decay": weight_decay},
        {"params": [p for p in trained if p in exempt], "weight_decay": 0.0},
    ]
