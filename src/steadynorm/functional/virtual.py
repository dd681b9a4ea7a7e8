"""Virtual batch normalization: a reference batch normalizes itself, and every other example together with it."""

import torch
from torch import Tensor

from ..errors import ArgumentError
from .moments import Moments
from .transform import batch_norm
from .weighted import example_weighted_norm

__all__ = ["virtual_batch_norm"]


def virtual_batch_norm(
    x: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    reference_size: int,
    eps: float,
    mask: Tensor | None = None,
) -> tuple[Tensor, Moments]:
    r"""Normalize a reference batch, the first examples of x, by itself, and each other example with the reference.

    .. math:: \mu_i = \frac{1}{n+1}\,\mathrm E[x_i] + \frac{n}{n+1}\,\mu_R, \qquad
              \sigma_i^2 = \frac{1}{n+1}\,\mathrm E[x_i^2] + \frac{n}{n+1}\,\mathrm E[x_R^2] - \mu_i^2

    R is the reference batch of n = ``reference_size`` examples. What is normalized by μ_i and σ_i² depends on the
    reference and on itself, and not on the rest of the batch.

    Reference: Salimans et al. 2016 (arXiv:1606.03498), Sec 3.4.

    Differs: reference and batch come in one tensor, so that one forward pass serves both, and gradients flow through
    the reference's statistics. The paper gives no formula for "collected on a reference batch and on x itself"; here
    all n+1 examples have the same weight. σ_i² is computed by merging, without the difference of large numbers
    (:func:`example_weighted_norm`).

    Shape: x and y (N, C, *S); gamma, beta (C,); mask broadcastable to (N, 1, *S).

    Args:
        reference_size: n, 1 or more; a batch of n or fewer examples is the reference alone.

    Returns: y in x's dtype, and the reference's :class:`Moments`.

    Raises: ArgumentError, ShapeError, DtypeError.
    """
    check_reference_size(reference_size)
    n, masks = reference_size, (None, None)
    if mask is not None:
        whole = mask.expand(len(x), *mask.shape[1:])
        masks = whole[:n], whole[n:]  # type: ignore[assignment]
    y, moments = batch_norm(x[:n], gamma, beta, eps=eps, mask=masks[0])
    if len(x) <= n:
        return y, moments
    alpha = 1 / (n + 1)
    others = example_weighted_norm(x[n:], moments.mean, moments.var, gamma, beta, alpha=alpha, eps=eps, mask=masks[1])
    return torch.cat([y, others]), moments


def check_reference_size(size: int) -> None:
    """Refuse what is no number of examples."""
    if size != int(size) or size < 1:
        raise ArgumentError(f"reference_size must be an integer, 1 or more, received {size}")
