"""Normalization within each example, which torch has, with a mask, which it has not."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import ArgumentError, DtypeError, ShapeError
from ._tensors import along_features, check_eps, check_features, check_mask, widen

__all__ = ["group_norm", "layer_norm"]


def group_norm(
    x: Tensor,
    num_groups: int,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    eps: float,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Normalize each group of features of each example, over the positions that count.

    .. math:: y = \gamma\,\frac{x - \mu_{ig}}{\sqrt{\sigma_{ig}^2 + \epsilon}} + \beta

    with μ and σ² over the features of group g and the positions of example i where the mask is True. C groups are
    instance normalization, one group is layer normalization over features and positions.

    Reference: Wu & He 2018 (arXiv:1803.08494), Eq 7; Ulyanov et al. 2016 (arXiv:1607.08022) for C groups.

    Shape: x and y (N, C, *S); gamma, beta (C,); mask broadcastable to (N, 1, *S). Where it is False y is 0, and x may
    hold anything. An example of which nothing counts comes out as 0.

    Raises: ArgumentError, ShapeError, DtypeError.
    """
    check_features(x)
    if num_groups < 1 or x.shape[1] % num_groups:
        raise ArgumentError(f"num_groups must divide the {x.shape[1]} features, received {num_groups}")
    if mask is not None:
        check_mask(mask, x)
    grouped = x.unflatten(1, (num_groups, -1))  # type: ignore[no-untyped-call]
    axes = tuple(range(2, grouped.dim()))
    y = _standardized(grouped, axes, eps, None if mask is None else mask.unsqueeze(2)).flatten(1, 2)
    y = y if gamma is None else along_features(gamma, x) * y
    y = y if beta is None else y + along_features(beta, x)
    return (y if mask is None else torch.where(mask, y, 0)).to(x.dtype)


def layer_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    eps: float,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Normalize over the last axes, taking what counts of them.

    .. math:: y = \gamma \odot \frac{x - \mu_i}{\sqrt{\sigma_i^2 + \epsilon}} + \beta

    Reference: Ba, Kiros & Hinton 2016 (arXiv:1607.06450), Eq 3.

    Shape: x and y (…, *normalized_shape); gamma, beta of ``normalized_shape``; mask of as many axes as x, broadcastable
    to its shape. Where it is False y is 0, and x may hold anything.

    Raises: ArgumentError, ShapeError, DtypeError.
    """
    k = len(normalized_shape)
    if k == 0 or tuple(x.shape[-k:]) != tuple(normalized_shape):
        raise ShapeError(f"the last axes must be {tuple(normalized_shape)}, received an input of {tuple(x.shape)}")
    if mask is not None:
        if mask.dtype != torch.bool:
            raise DtypeError(f"the mask must be boolean, received {mask.dtype}: use mask.bool()")
        if mask.dim() != x.dim() or any(m not in (1, n) for m, n in zip(mask.shape, x.shape, strict=True)):
            raise ShapeError(
                f"the mask must have as many axes as the input and broadcast to its shape {tuple(x.shape)}, received "
                f"{tuple(mask.shape)}"
            )
    y = _standardized(x, tuple(range(x.dim() - k, x.dim())), eps, mask)
    y = y if gamma is None else gamma * y
    y = y if beta is None else y + beta
    return (y if mask is None else torch.where(mask, y, 0)).to(x.dtype)


def _standardized(x: Tensor, axes: tuple[int, ...], eps: float, mask: Tensor | None) -> Tensor:
    """Return (x − μ)/√(σ² + ε) over some axes, wide; what the mask hides is 0."""
    check_eps(eps)
    x = widen(x)
    shown = x if mask is None else torch.where(mask, x, 0)
    counts = torch.ones_like(x[:1]) if mask is None else mask.to(x.dtype).expand_as(x)
    n = counts.sum(axes, keepdim=True).clamp(min=1)
    d = shown - shown.sum(axes, keepdim=True) / n
    d = d if mask is None else torch.where(mask, d, 0)
    return d * (d.square().sum(axes, keepdim=True) / n + eps).rsqrt()
