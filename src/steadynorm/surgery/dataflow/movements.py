"""Which operations only move or copy elements, so that what is done to each feature can be done before or after."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["movement"]

MOVES = """
    view reshape flatten unflatten squeeze unsqueeze transpose permute movedim moveaxis swapaxes swapdims t T mT
    contiguous clone detach data alias __getitem__ narrow select expand repeat roll flip
"""
CONVERSIONS = ("to", "float", "double", "half", "bfloat16", "cpu", "cuda")
DROPOUTS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout)
COPIES = ("reflect", "replicate", "circular")


def movement(
    func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], given: Tensor, result: Any
) -> Callable[[Tensor], Tensor] | None:
    """Return the same call for another tensor in place of its one tensor ``given``, or None if it does more.

    Padding with zeros puts NaN where the zeros are.
    """
    if not isinstance(result, Tensor) or not args or args[0] is not given:
        return None
    if name in CONVERSIONS:
        return _same if result.dtype == given.dtype and result.device == given.device else None
    if func in DROPOUTS:
        return None if _arguments(func, args, kwargs)["training"] else _same
    if func is F.pad:
        return _padding(**{k: v for k, v in _arguments(func, args, kwargs).items() if k != "input"})
    if name in MOVES.split():
        rest = args[1:]
        return lambda t: func(t, *rest, **kwargs)
    return None


def _same(t: Tensor) -> Tensor:
    return t


def _padding(pad: Any, mode: str, value: float | None) -> Callable[[Tensor], Tensor] | None:
    if mode in COPIES:
        return lambda t: F.pad(t, pad, mode)
    if mode == "constant" and not value:
        return lambda t: F.pad(t, pad, value=torch.nan)
    return None


def _arguments(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    bound = inspect.signature(func).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments
