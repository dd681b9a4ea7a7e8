"""Moments of a mini-batch: count, mean, variance. Every variance of the package is computed here.

Letters: x the input (N, C, *S), w weights (N, 1, *S), n how much a feature's values weigh together, δ a difference of
means.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ._tensors import along_features, check_broadcast, check_features, check_mask, pooled_axes, widen

__all__ = ["Moments", "batch_moments", "merge_moments"]


class Moments(NamedTuple):
    r"""How many values, their mean, and their **biased** variance (÷n), for each feature.

    The moments of no data are ``(0, 0, 0)``, the neutral element of :func:`merge_moments`.
    """

    count: Tensor  # type: ignore[assignment]  # tuple has a method of this name
    """n: the number of values of one feature, or the sum of their weights; 0-d, the same for all features."""
    mean: Tensor
    """(C,), float32 or wider."""
    var: Tensor
    """(C,), biased: divided by n."""

    @property
    def unbiased_var(self) -> Tensor:
        r"""(C,), the variance divided by n−1 (Bessel's correction): :math:`\frac{n}{n-1}\sigma^2`. NaN where n ≤ 1.

        Unbiased for independent values; values of one image are not (see :class:`PaperEstimator`).
        """
        n = self.count
        return self.var * torch.where(n > 1, n / (n - 1), torch.nan).to(self.var.dtype)


def batch_moments(x: Tensor, *, mask: Tensor | None = None, weights: Tensor | None = None) -> Moments:
    r"""Count, mean and biased variance of each feature of a mini-batch.

    .. math:: \mu = \frac1n \sum_i w_i x_i, \qquad \sigma^2 = \frac1n \sum_i w_i (x_i - \mu)^2, \qquad n = \sum_i w_i

    Reference: Ioffe & Szegedy 2015, Eq 2, first two lines (there w = 1).

    Shape: x (N, C, *S); mask and weights broadcastable to (N, 1, *S); count (), mean and var (C,).

    Args:
        x: the input, of any real floating-point dtype, empty batches included.
        mask: True where a position counts; what it hides may hold anything, NaN too.
        weights: finite, 0 or more: how often a position counts. Both may be given. Negative ones are not looked for,
            since that would wait for the device.

    Numerics: in float32 or wider. Sums are shifted: a first mean is subtracted, and the mean of what is left corrects
    it, so that data of mean 1e4 and deviation 1e-2 keep their variance; E[x²]−E[x]² would lose it. A NaN or an infinity
    makes the feature's mean and variance NaN.

    Raises: ShapeError, DtypeError for an input without feature axis or of integers, a mask that is not boolean or of
    another shape.

    >>> batch_moments(torch.tensor([[1.0], [2.0], [6.0]])).var
    tensor([4.6667])
    """
    check_features(x)
    axes = pooled_axes(x)
    x = widen(x)
    w = _position_weights(x, mask, weights)
    if w is None:
        n = torch.full((), x.shape[0] * x.shape[2:].numel(), dtype=_count_dtype(x), device=x.device)
    else:
        n = w.sum(dtype=_count_dtype(x))
        x = torch.where(w > 0, x, 0)  # a product with 0 would keep NaN

    def total(t: Tensor) -> Tensor:
        return (t if w is None else w * t).sum(axes)

    divisor = torch.where(n > 0, n, 1).to(x.dtype)
    shift = total(x) / divisor
    d = x - along_features(shift, x)
    delta = total(d) / divisor
    var = total((d - along_features(delta, x)).square()) / divisor
    return Moments(n, shift + delta, var)


def merge_moments(a: Moments, b: Moments) -> Moments:
    r"""Moments of two batches together, from the moments of each.

    .. math:: n = n_a + n_b, \quad \delta = \mu_b - \mu_a, \quad \mu = \mu_a + \delta\frac{n_b}{n}, \quad
              \sigma^2 = \sigma_a^2 + (\sigma_b^2 - \sigma_a^2)\frac{n_b}{n} + \delta^2 \frac{n_a n_b}{n^2}

    Reference: Chan, Golub & LeVeque 1979, *Updating Formulae and a Pairwise Algorithm for Computing Sample Variances*,
    written in means and variances instead of sums. Associative and commutative up to rounding; an empty batch changes
    nothing, exactly.

    Shape: as of :class:`Moments`. To merge many batches, widen to float64 first: the count of float32 sums stays exact
    (it is float64), the mean's rounding adds up.
    """
    n = a.count + b.count
    share = (b.count / torch.where(n > 0, n, 1)).to(a.mean.dtype)  # n_b / n, and 0 of nothing
    delta = b.mean - a.mean
    mean = a.mean + delta * share
    var = a.var + (b.var - a.var) * share + delta.square() * (share * (1 - share))
    return Moments(n, mean, var)


def _count_dtype(x: Tensor) -> torch.dtype:
    # float32 counts stop at 2^24 values, which one batch of large images exceeds; MPS has no float64
    return torch.float32 if x.device.type == "mps" else torch.float64


def _position_weights(x: Tensor, mask: Tensor | None, weights: Tensor | None) -> Tensor | None:
    """Return mask and weights as one (N, 1, *S) tensor of x's dtype, or None if every position counts once."""
    if mask is None and weights is None:
        return None
    w = x.new_ones((x.shape[0], 1, *x.shape[2:]))
    if mask is not None:
        check_mask(mask, x)
        w = w * mask
    if weights is not None:
        check_broadcast("weights", weights, x)
        w = torch.where(w > 0, weights.to(w.dtype), 0)
    return w
