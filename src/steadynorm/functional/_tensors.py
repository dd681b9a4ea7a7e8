"""Shapes and dtypes that equations and layers share; not part of the public interface."""

import torch
from torch import Tensor

from ..errors import ArgumentError, DtypeError, ShapeError


def wide_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of statistics for data of this dtype: float32, or float64 for float64."""
    if not dtype.is_floating_point:
        raise DtypeError(f"batch normalization needs a real floating-point tensor, received {dtype}: convert it first")
    return torch.float64 if dtype == torch.float64 else torch.float32  # promote_types would be an operator call


def widen(x: Tensor) -> Tensor:
    """Return x in the dtype of its statistics, before anything is squared: float16 overflows from 256 on."""
    wide = wide_dtype(x.dtype)
    return x if x.dtype is wide else x.to(wide)  # a cast that does nothing would stand in exported graphs


def check_features(x: Tensor) -> None:
    """Refuse what has no feature axis."""
    if x.dim() < 2:
        raise ShapeError(
            f"the input must have shape (N, C, *S), received {tuple(x.shape)}: give each feature its own axis"
        )


def pooled_axes(x: Tensor) -> tuple[int, ...]:
    """Return the axes over which a feature's statistics are taken: all but the second."""
    return (0, *range(2, x.dim()))


def along_features(v: Tensor, x: Tensor) -> Tensor:
    """Return the (C,) tensor v with singleton axes, ready to broadcast against x of shape (N, C, *S)."""
    return v.reshape((1, -1) + (1,) * (x.dim() - 2))


def examples_apart(x: Tensor) -> Tensor:
    """Return (N, C, *S) as (1, N·C, *S), in which each feature of each example is a feature of its own."""
    return x.reshape(1, -1, *x.shape[2:])


def features_second(x: Tensor) -> Tensor:
    """Return (N, *S, C) as (N, C, *S), a view."""
    return x.movedim(-1, 1)


def check_eps(eps: float) -> None:
    """Refuse an ε that could make σ² + ε negative."""
    if not eps >= 0:
        raise ArgumentError(f"eps must be 0 or more, received {eps}")


def shown(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return x with 0 where the mask hides it: NaN there would reach gradients through products. No mask hides nothing.

    Raises: as :func:`check_features` and :func:`check_mask`.
    """
    check_features(x)
    if mask is None:
        return x
    check_mask(mask, x)
    return torch.where(mask, x, 0)


def check_mask(mask: Tensor, x: Tensor) -> None:
    """Refuse a mask that is not boolean or does not broadcast to (N, 1, *S)."""
    if mask.dtype != torch.bool:
        raise DtypeError(
            f"the mask must be boolean, True where a position counts, received {mask.dtype}: use mask.bool()"
        )
    check_broadcast("mask", mask, x)


def check_broadcast(name: str, v: Tensor, x: Tensor) -> None:
    """Refuse what does not broadcast to (N, 1, *S), one value a position, the same for every feature."""
    full = (x.shape[0], 1, *x.shape[2:])
    if v.dim() != x.dim() or any(have not in (1, want) for have, want in zip(v.shape, full, strict=True)):
        raise ShapeError(
            f"the {name} must broadcast to (N, 1, *S) = {tuple(full)}, received {tuple(v.shape)}: "
            f"give it {x.dim()} axes, the second of size 1 (for example {name}.unsqueeze(1))"
        )
