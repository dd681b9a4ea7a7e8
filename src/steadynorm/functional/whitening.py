"""Whitening: features are decorrelated as well as centred and scaled.

Letters: d the features of a group, Σ their covariance, W a whitening matrix: W Σ Wᵀ = I.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import ArgumentError
from ._roots import inverse_root, newton_inverse_root
from ._tensors import along_features, check_eps, check_features, shown, widen
from .moments import Moments, batch_moments

__all__ = ["Covariance", "batch_covariance", "iter_norm", "whiten", "whitening_matrix", "whitening_norm"]


class Covariance(NamedTuple):
    """How many values, the features' means, and the **biased** covariances within each group of features."""

    count: Tensor  # type: ignore[assignment]  # tuple has a method of this name
    """n, 0-d."""
    mean: Tensor
    """(C,), float32 or wider."""
    cov: Tensor
    """(groups, C/groups, C/groups), divided by n."""

    @property
    def unbiased_cov(self) -> Tensor:
        """The covariances divided by n−1 instead; NaN where n ≤ 1."""
        moments = Moments(self.count, self.mean, self.cov)
        return moments.unbiased_var


def batch_covariance(x: Tensor, *, groups: int = 1, mask: Tensor | None = None) -> Covariance:
    r"""Means and covariances of a batch's features, group by group.

    .. math:: \mu = \frac1n \sum_i x_i, \qquad \Sigma = \frac1n \sum_i (x_i - \mu)(x_i - \mu)^T

    Reference: Huang et al. 2018 (arXiv:1804.08450), Algorithm 1.

    Shape: x (N, C, *S), mask broadcastable to (N, 1, *S); features c and c' are of one group if they are of the same
    run of C/groups neighbours.

    Raises: ArgumentError if ``groups`` does not divide C; ShapeError, DtypeError.
    """
    check_features(x)
    check_groups(groups, x.shape[1])
    n, mean, _ = batch_moments(x, mask=mask)
    d = shown(widen(x) - along_features(mean, x), mask)
    return Covariance(n, mean, products(d, d, groups) / torch.where(n > 0, n, 1).to(mean.dtype))


def whitening_matrix(cov: Tensor, *, eps: float, iterations: int | None = None) -> Tensor:
    r"""ZCA's whitening matrix: of all, the symmetric one, which moves the data least.

    .. math:: W = (\Sigma + \epsilon I)^{-1/2}

    With ``iterations`` Newton's iteration approaches it, Huang et al. 2019 (arXiv:1904.03441).

    Shape: cov and W (groups, d, d).

    Raises: ArgumentError for an ε below 0 or iterations below 1.
    """
    check_eps(eps)
    eye = torch.eye(cov.shape[-1], dtype=cov.dtype, device=cov.device)
    if iterations is None:
        return inverse_root(cov + eps * eye)
    check_iterations(iterations)
    return newton_inverse_root(cov + eps * eye, iterations)


def whiten(x: Tensor, mean: Tensor, matrix: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None) -> Tensor:
    r"""Centre, multiply with a whitening matrix, then scale and shift.

    .. math:: y = \gamma \odot W (x - \mu) + \beta

    Shape: x and y (N, C, *S); mean, gamma, beta (C,); matrix (groups, d, d). The result has x's dtype.
    """
    check_features(x)
    d = widen(x).to(torch.promote_types(mean.dtype, widen(x).dtype)) - along_features(mean, x)
    by_group, apart = _by_group(d, len(matrix))
    y = scaled_rows(matrix, gamma).to(d.dtype) @ by_group
    y = y.reshape(x.shape) if apart else y.reshape(x.shape[1], len(x), *x.shape[2:]).movedim(0, 1)
    y = y if beta is None else y + along_features(beta, x)
    return y.to(x.dtype)


def scaled_rows(matrix: Tensor, gamma: Tensor | None) -> Tensor:
    r"""Return :math:`\gamma \odot W`, which whitens and scales at once."""
    return matrix if gamma is None else matrix * gamma.reshape(*matrix.shape[:2], 1)


def products(a: Tensor, b: Tensor, groups: int) -> Tensor:
    r"""Return :math:`\sum_i a_i b_i^T` of each group, (groups, C/groups, C/groups), for a and b of shape (N, C, *S)."""
    (of_a, apart), (of_b, _) = _by_group(a, groups), _by_group(b, groups)
    found = of_a @ of_b.mT
    return found.sum(0) if apart else found


def whitening_norm(
    x: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    groups: int = 1,
    eps: float,
    mask: Tensor | None = None,
    iterations: int | None = None,
) -> tuple[Tensor, Covariance]:
    r"""Decorrelated batch normalization: whiten with the batch's own covariance (ZCA).

    .. math:: y = \gamma \odot (\Sigma_B + \epsilon I)^{-1/2}(x - \mu_B) + \beta

    Reference: Huang et al. 2018 (arXiv:1804.08450), Algorithm 1; whitening is the road that Ioffe & Szegedy 2015, Sec
    2, did not take.

    Differs: gradients by the Lyapunov equation (:func:`~steadynorm.functional.whitening_matrix`), which stay finite
    where eigenvalues are equal; the paper's divide by their differences. γ and β follow, as an option.

    Shape: x and y (N, C, *S); gamma, beta (C,); mask broadcastable to (N, 1, *S). Of n values no more than n−1
    directions have a variance; in the others only ε stands under the root.

    Args:
        iterations: None for the root by eigenvalues; else see :func:`iter_norm`.

    Returns: y in x's dtype, and the batch's :class:`Covariance`.

    Raises: ArgumentError, ShapeError, DtypeError.
    """
    x = shown(x, mask)
    covariance = batch_covariance(x, groups=groups, mask=mask)
    matrix = whitening_matrix(covariance.cov, eps=eps, iterations=iterations)
    return shown(whiten(x, covariance.mean, matrix, gamma, beta), mask), covariance


def iter_norm(
    x: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    groups: int = 1,
    iterations: int = 5,
    eps: float,
    mask: Tensor | None = None,
) -> tuple[Tensor, Covariance]:
    r"""Iterative normalization: whiten with Newton's approximation of the inverse root.

    .. math:: y = \gamma \odot \frac{P_T}{\sqrt{\mathrm{tr}\,\Sigma_\epsilon}}\,(x - \mu_B) + \beta, \qquad
              P_k = \tfrac12\Bigl(3 P_{k-1} - P_{k-1}^3 \frac{\Sigma_\epsilon}{\mathrm{tr}\,\Sigma_\epsilon}\Bigr),
              \quad \Sigma_\epsilon = \Sigma_B + \epsilon I

    Reference: Huang et al. 2019 (arXiv:1904.03441), Algorithm 1.

    Shape: as of :func:`whitening_norm`, to which it converges with the iterations.

    Args:
        iterations: T, 1 or more.

    Returns: y in x's dtype, and the batch's :class:`Covariance`.

    Raises: ArgumentError, ShapeError, DtypeError.
    """
    return whitening_norm(x, gamma, beta, groups=groups, eps=eps, mask=mask, iterations=iterations)


def check_groups(groups: int, features: int) -> None:
    """Refuse groups of unequal size."""
    if groups < 1 or features % groups:
        raise ArgumentError(f"groups must divide the number of features {features}, received {groups}")


def check_iterations(iterations: int) -> None:
    """Refuse no iteration at all."""
    if iterations < 1:
        raise ArgumentError(f"iterations must be 1 or more, received {iterations}")


def _by_group(x: Tensor, groups: int) -> tuple[Tensor, bool]:
    """Return (N, C, *S) as (N, groups, C/groups, positions) and True, or as (groups, C/groups, N·positions) and False.

    Examples are kept apart, for which nothing is copied, if they have as many positions as a group has features: the
    products of fewer would take more room than they do.
    """
    size, positions = x.shape[1] // groups, x.shape[2:].numel()
    if positions >= size:
        return x.reshape(len(x), groups, size, positions), True
    return x.movedim(1, 0).reshape(groups, size, -1), False
