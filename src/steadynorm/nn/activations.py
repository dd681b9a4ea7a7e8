"""The activations that a layer can apply after normalizing, by name."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from ..errors import ArgumentError
from ..kernels import INVERTIBLE

__all__ = ["ACTIVATIONS", "check_activation"]

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
