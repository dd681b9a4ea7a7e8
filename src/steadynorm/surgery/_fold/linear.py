"""Linear layers and convolutions: what can take up an affine map of its input's or output's features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from ..._torch import hook_tables, parameters_of, pruned_name

__all__ = [
    "bake",
    "feature_axis",
    "groups_of",
    "is_linear",
    "is_transposed",
    "replace",
    "sees_all_of_its_kernel",
]

POSITIONS: dict[type[nn.Module], int] = {  # how many axes of positions lie behind the features
    nn.Linear: 0,
    nn.Conv1d: 1,
    nn.Conv2d: 2,
    nn.Conv3d: 3,
    nn.ConvTranspose1d: 1,
    nn.ConvTranspose2d: 2,
    nn.ConvTranspose3d: 3,
}
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def _kind(module: nn.Module) -> type[nn.Module] | None:
    return next((kind for kind in POSITIONS if isinstance(module, kind)), None)


def is_linear(module: nn.Module) -> bool:
    """Whether a module is one of torch's linear layers or convolutions, or a subclass that computes the same."""
    kind = _kind(module)
    methods = ("forward", "_conv_forward", "_output_padding")
    return kind is not None and all(
        name not in vars(module) and getattr(type(module), name, None) is getattr(kind, name, None) for name in methods
    )


def is_transposed(module: nn.Module) -> bool:
    """Whether its weight has the inputs first."""
    return isinstance(module, TRANSPOSED)


def groups_of(module: Any) -> int:
    """Return the number of groups, 1 for a linear layer."""
    return 1 if isinstance(module, nn.Linear) else int(module.groups)


def feature_axis(module: nn.Module) -> int:
    """Return the axis of the features, of input and output, counted from the end: they may come without a batch."""
    return -1 - next(positions for kind, positions in POSITIONS.items() if isinstance(module, kind))


def sees_all_of_its_kernel(module: Any) -> bool:
    """Whether every output is a sum over all positions of the kernel, none of them over zeros from outside."""
    if isinstance(module, nn.Linear):
        return True
    kernel, padding = module.kernel_size, module.padding
    if is_transposed(module):
        ones, zeros = (1,) * len(kernel), (0,) * len(kernel)
        return (kernel, module.stride, padding, module.output_padding) == (ones, ones, zeros, zeros)
    if module.padding_mode != "zeros" or padding == "valid":
        return True
    return all(k == 1 for k in kernel) if padding == "same" else not any(padding)


@torch.no_grad()
def bake(module: Any) -> tuple[Tensor, Tensor | None]:
    """Make weight and bias plain parameters, whatever computes them, and return them in float64."""
    for hook in list(hook_tables(module)[0].values()):
        if isinstance(hook, WeightNorm):
            remove_weight_norm(module, hook.name)
        elif isinstance(hook, SpectralNorm):
            remove_spectral_norm(module, hook.name)
        elif isinstance(hook, prune.BasePruningMethod):
            unprune: Any = prune.remove
            unprune(module, pruned_name(hook))
    if parametrize.is_parametrized(module):
        _remove_parametrizations(module)
    own = parameters_of(module)
    for name in ("weight", "bias"):  # in the order in which a plain layer has them
        own[name] = own.pop(name)
    return module.weight.double(), None if module.bias is None else module.bias.double()


def _remove_parametrizations(module: Any) -> None:
    """Do so for this module alone: torch's function edits the class, which a copy shares with its original."""
    learns = {name: any(p.requires_grad for p in how.parameters()) for name, how in module.parametrizations.items()}
    values = {name: getattr(module, name).detach().clone() for name in learns}
    module.__class__ = type(module).__bases__[0]
    del module.parametrizations
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value, requires_grad=learns[name]))


@torch.no_grad()
def replace(module: Any, weight: Tensor, bias: Tensor | None) -> None:
    """Give a linear layer new parameters, in its own dtype; a new bias learns if the weight does."""
    old = module.weight
    module.weight = nn.Parameter(weight.to(old.dtype), requires_grad=old.requires_grad)
    if bias is not None:
        learns = old.requires_grad if module.bias is None else module.bias.requires_grad
        module.bias = nn.Parameter(bias.to(old.dtype), requires_grad=learns)
