"""Folding: with constant statistics batch norm is one affine map per feature, and merges into a linear neighbour.

Letters: s scale, t shift of the affine map; W, b weight and bias of the neighbour; o its output, i its input features,
k kernel positions, g groups.
"""

from torch import Tensor

from ..errors import ArgumentError, ShapeError
from ._tensors import check_eps

__all__ = ["fold_affine", "fold_weights_after", "fold_weights_before"]


def fold_affine(
    mean: Tensor, var: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, *, eps: float
) -> tuple[Tensor, Tensor]:
    r"""The affine map that batch normalization is at inference.

    .. math:: y = s\,x + t, \qquad s = \frac{\gamma}{\sqrt{\mathrm{Var}[x]+\epsilon}}, \qquad
              t = \beta - s\,\mathrm E[x]

    Reference: Ioffe & Szegedy 2015, Algorithm 2, line 11 (Eq 6 of the article).

    Shape: all (C,). Returns (scale, shift) in the widest dtype of what was given: give float64 to fold in float64.

    Args:
        gamma: None for 1.
        beta: None for 0.

    Raises: ArgumentError for an eps below 0.
    """
    check_eps(eps)
    inv_std = (var + eps).rsqrt()
    scale = inv_std if gamma is None else gamma * inv_std
    shift = -scale * mean if beta is None else beta - scale * mean
    return scale, shift


def fold_weights_after(
    weight: Tensor, bias: Tensor | None, scale: Tensor, shift: Tensor, *, groups: int = 1, transposed: bool = False
) -> tuple[Tensor, Tensor]:
    r"""Merge an affine map into the linear layer **before** it: the map comes after.

    .. math:: s \odot (W u + b) + t = (s \odot W)\, u + (s \odot b + t)

    Exact for linear layers and convolutions, whatever their padding, stride, dilation and groups.

    Shape: weight (O, I/g, *K), or (I, O/g, *K) if ``transposed``; bias (O,) or None for 0; scale, shift (O,). Returns
    the new weight and bias, in the widest dtype given.

    Raises: ShapeError if the weight does not have as many outputs as the map has features; ArgumentError for bad
    groups.
    """
    outputs = _features(weight, "outputs", scale, groups, split=transposed)
    if transposed:  # rows are grouped by input, columns count the outputs within a group
        per_row = outputs.reshape(groups, 1, -1).expand(-1, weight.shape[0] // groups, -1)
        per_row = per_row.reshape(weight.shape[:2])
    else:
        per_row = outputs.reshape(-1, 1)
    new_bias = shift if bias is None else scale * bias + shift
    return weight * _over_kernel(per_row, weight), new_bias


def fold_weights_before(
    weight: Tensor, bias: Tensor | None, scale: Tensor, shift: Tensor, *, groups: int = 1, transposed: bool = False
) -> tuple[Tensor, Tensor]:
    r"""Merge an affine map into the linear layer **after** it: the map comes before.

    .. math:: W (s \odot u + t) + b = (W \odot s)\, u + \Bigl(b + \sum_{i,k} W_{oik}\, t_i\Bigr)

    Exact for linear layers, and for convolutions in which every output sees all kernel positions: none of the border is
    padded with zeros, since t would be missing there. A transposed convolution's border never sees them all; fold there
    only if t = 0.

    Shape: weight (O, I/g, *K), or (I, O/g, *K) if ``transposed``; bias (O,) or None for 0; scale, shift (I,). Returns
    the new weight and bias, in the widest dtype given.

    Raises: ShapeError if the weight does not have as many inputs as the map has features; ArgumentError for bad groups.
    """
    inputs = _features(weight, "inputs", scale, groups, split=not transposed)

    def per_weight(v: Tensor) -> Tensor:
        if transposed:
            return _over_kernel(v.reshape(-1, 1), weight)
        rows = v.reshape(groups, 1, -1).expand(-1, weight.shape[0] // groups, -1)
        return _over_kernel(rows.reshape(weight.shape[:2]), weight)

    reach = (weight * per_weight(shift)).reshape(*weight.shape[:2], -1).sum(2)
    reach = reach.reshape(groups, -1, weight.shape[1]).sum(1).flatten() if transposed else reach.sum(1)
    return weight * per_weight(inputs), reach if bias is None else bias + reach


def _features(weight: Tensor, side: str, v: Tensor, groups: int, *, split: bool) -> Tensor:
    """Check that v has a value for each feature on that side; ``split``: the weight counts that side within a group."""
    if groups < 1 or weight.shape[0] % groups:
        raise ArgumentError(f"groups must divide the weight's first size {weight.shape[0]}, received {groups}")
    features = weight.shape[1] * groups if split else weight.shape[0]
    if v.shape != (features,):
        raise ShapeError(
            f"scale must hold one value for each of the weight's {features} {side}, received {tuple(v.shape)}"
        )
    return v


def _over_kernel(v: Tensor, weight: Tensor) -> Tensor:
    """Give v, over the weight's first axes, singleton axes for the kernel's positions."""
    return v.reshape(v.shape + (1,) * (weight.dim() - v.dim()))
