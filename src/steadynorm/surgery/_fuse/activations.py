"""Which modules, functions and methods of torch's are one of our activations, with the arguments that ours have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import ArgumentError
from ...nn.finishing import ACTIVATIONS, activation_name

__all__ = ["activation_of_call", "activation_of_module"]

PROBE = torch.linspace(-9, 9, 73, dtype=torch.float64)


def activation_of_module(module: nn.Module) -> str | None:
    """Return the name of the activation that a module is, in place or not; None if ours have none like it."""
    try:
        return activation_name(module)
    except ArgumentError:
        return None


def activation_of_call(function: Callable[..., Any] | str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """Return the name of the activation that a call of one of torch's functions, or of a tensor's methods, is.

    What the arguments behind the input make of it is tried.

    Args:
        function: the function, or the name of the method.
        args: what is given behind the input.
        kwargs: what is given by name; the input may be among it as ``input``.
    """
    called = function if isinstance(function, str) else getattr(function, "__name__", "")
    name = called.rstrip("_")
    if name not in ACTIVATIONS or not (isinstance(function, str) or function in _torchs(called)):
        return None
    call = getattr(Tensor, function) if isinstance(function, str) else function
    others = {key: value for key, value in kwargs.items() if key != "input"}
    try:
        same = torch.equal(call(PROBE.clone(), *args, **others), ACTIVATIONS[name](PROBE))
    except (TypeError, RuntimeError, ValueError):  # such as an argument that is itself a tensor of the model
        return None
    return name if same else None


def _torchs(name: str) -> list[Any]:
    return [getattr(home, name) for home in (F, torch) if hasattr(home, name)]
