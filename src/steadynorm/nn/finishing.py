"""What follows the normalization: γ and β widened where torch's operators serve, residual, activation."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from ..errors import ArgumentError
from ..functional._tensors import widen
from ..kernels import INVERTIBLE

__all__ = ["ACTIVATIONS", "Affine", "check_activation", "check_single_value", "finish", "wide_affine"]

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
}
"""Each as ``torch.nn.functional`` has it, with its default arguments."""


def check_activation(name: str | None, *, invertible: bool = False) -> None:
    """Refuse a name that is not in :data:`ACTIVATIONS`, or one that loses its input; None is no activation."""
    if name is not None and name not in ACTIVATIONS:
        raise ArgumentError(f"activation must be None or one of {', '.join(ACTIVATIONS)}; received {name!r}")
    if invertible and name not in INVERTIBLE:
        raise ArgumentError(
            f"inplace=True needs an activation that loses nothing, None or 'leaky_relu'; received {name!r}, from whose "
            "output its input cannot be told: set inplace=False"
        )


def check_single_value(chosen: str) -> None:
    """Refuse what is no way to treat a feature's single value."""
    if chosen not in ("error", "running"):
        raise ArgumentError(f'single_value must be "error" or "running", received {chosen!r}')


def wide_affine(weight: Tensor | None, bias: Tensor | None) -> Affine:
    """Return γ and β in float32 or wider: torch's operators refuse 16-bit ones beside wide statistics."""
    return None if weight is None else widen(weight), None if bias is None else widen(bias)


def finish(y: Tensor, residual: Tensor | None, activation: str | None) -> Tensor:
    """Add the residual and apply the activation."""
    if residual is not None:
        y = y + residual
    return y if activation is None else ACTIVATIONS[activation](y)
