"""What follows the normalization: γ and β widened where torch's operators serve, residual, activation."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ArgumentError
from ..functional._tensors import widen
from ..kernels import INVERTIBLE

__all__ = [
    "ACTIVATIONS",
    "MODULES",
    "Affine",
    "activation_name",
    "check_channel_axis",
    "check_single_value",
    "finish",
    "wide_affine",
]

Affine = tuple[Tensor | None, Tensor | None]
"""γ and β."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,  # slope 0.01
    "silu": F.silu,
    "gelu": F.gelu,  # the exact one, by the error function
    "sigmoid": F.sigmoid,
    "tanh": F.tanh,
    "hardswish": F.hardswish,
    "relu6": F.relu6,
}
"""Each as ``torch.nn.functional`` has it, with its default arguments."""


MODULES: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "hardswish": nn.Hardswish,
    "relu6": nn.ReLU6,
}
"""The same as modules of torch's."""


def activation_name(given: str | nn.Module | None, *, invertible: bool = False) -> str | None:
    """Return the name of an activation in :data:`ACTIVATIONS`, which may be given as torch's module; None is none.

    Raises: ArgumentError for another one, or, if it is to be ``invertible``, for one that loses its input.
    """
    same = (name for name, kind in MODULES.items() if type(given) is kind and _settings(given) == _settings(kind()))
    name = next(same, given)
    if name is not None and (not isinstance(name, str) or name not in ACTIVATIONS):
        raise ArgumentError(
            f"activation must be None or one of {', '.join(ACTIVATIONS)}, or torch's module of it with its default "
            f"arguments; received {given!r}"
        )
    if invertible and name not in INVERTIBLE:
        raise ArgumentError(
            f"inplace=True needs an activation that loses nothing, None or 'leaky_relu'; received {name!r}, from whose "
            "output its input cannot be told: set inplace=False"
        )
    return name


def _settings(module: nn.Module) -> dict[str, object]:
    """Return what a module of torch's was made with, but for where it writes."""
    return {name: v for name, v in vars(module).items() if name[0] != "_" and name not in ("training", "inplace")}


def check_single_value(chosen: str) -> None:
    """Refuse what is no way to treat a feature's single value."""
    if chosen not in ("error", "running"):
        raise ArgumentError(f'single_value must be "error" or "running", received {chosen!r}')


def check_channel_axis(axis: int) -> None:
    """Refuse an axis that layers do not know."""
    if axis not in (1, -1):
        raise ArgumentError(f"channel_axis must be 1, for (N, C, *S), or -1, for (N, *S, C); received {axis!r}")


def wide_affine(weight: Tensor | None, bias: Tensor | None) -> Affine:
    """Return γ and β in float32 or wider: torch's operators refuse 16-bit ones beside wide statistics."""
    return None if weight is None else widen(weight), None if bias is None else widen(bias)


def finish(y: Tensor, residual: Tensor | None, activation: str | None) -> Tensor:
    """Add the residual and apply the activation."""
    if residual is not None:
        y = y + residual
    return y if activation is None else ACTIVATIONS[activation](y)
