"""Inference example weighing: at inference an example's own statistics take part, as they did in training."""

import torch
from torch import Tensor

from ..errors import ArgumentError
from ._tensors import shown
from .moments import Moments, batch_moments, merge_moments
from .transform import normalize

__all__ = ["example_weighted_norm"]


def example_weighted_norm(
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    alpha: float,
    eps: float,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Normalize each example with a mixture of the population's statistics and its own.

    .. math:: \mu_i = \alpha\,\mathrm E[x_i] + (1-\alpha)\,\mathrm E[x], \qquad
              \sigma_i^2 = \alpha\,\mathrm E[x_i^2] + (1-\alpha)\,\mathrm E[x^2] - \mu_i^2

    Reference: Summers & Dinneen 2020 (arXiv:1906.03548), *Inference Example Weighing*.

    Differs: σ²_i is computed as α Var[x_i] + (1−α) Var[x] + α(1−α)(E[x_i] − E[x])², the same without the difference of
    large numbers: two sets of values merged, of weights α and 1−α.

    Shape: x and y (N, C, *S); mean, var, gamma, beta (C,); mask broadcastable to (N, 1, *S). Without positions an
    example has one value a feature, and no variance of its own.

    Args:
        alpha: α, between 0 and 1: the example's share. 0 is batch norm's inference, 1 normalizes every example by
            itself. In training a batch of m examples gave it 1/m.

    Raises: ArgumentError, ShapeError, DtypeError.
    """
    check_alpha(alpha)
    x = shown(x, mask)
    counts = x.new_ones((1,) * x.dim(), dtype=torch.bool) if mask is None else mask
    counts = counts.expand(len(x), *counts.shape[1:])

    def one(example: Tensor, counts: Tensor) -> Tensor:
        moments = batch_moments(example[None], mask=counts[None])
        mixed = mixed_moments(mean, var, moments.mean, moments.var, alpha=alpha)
        return normalize(example[None], mixed.mean, mixed.var, gamma, beta, eps=eps)[0]

    if len(x) == 0:  # vmap refuses it
        return x
    y: Tensor = torch.vmap(one)(x, counts)
    return shown(y, mask)


def mixed_moments(mean: Tensor, var: Tensor, own_mean: Tensor, own_var: Tensor, *, alpha: float) -> Moments:
    """Return the moments of both together, where the own ones have the weight α and the others 1 − α."""
    population, own = (torch.full((), share, dtype=mean.dtype, device=mean.device) for share in (1 - alpha, alpha))
    return merge_moments(Moments(population, mean, var), Moments(own, own_mean, own_var))


def check_alpha(alpha: float) -> None:
    """Refuse what is no share."""
    if not 0 <= alpha <= 1:
        raise ArgumentError(f"alpha must be between 0 and 1, received {alpha}")
