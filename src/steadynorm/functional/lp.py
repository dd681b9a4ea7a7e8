"""Normalization by an ℓp norm in place of the standard deviation, for p = 1, 2, ∞."""

from math import inf

from torch import Tensor

from ..errors import ArgumentError
from ._tensors import along_features, pooled_axes, shown, widen
from .moments import Moments, batch_moments
from .transform import normalize

__all__ = ["lp_batch_norm"]


def lp_batch_norm(
    x: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    p: float,
    centred: bool = False,
    eps: float,
    mask: Tensor | None = None,
) -> tuple[Tensor, Moments]:
    r"""Subtract the batch's mean and divide by the average ℓp norm.

    .. math:: y_i = \gamma\,\frac{x_i - \mu}{\sqrt{s_p^2 + \epsilon}} + \beta, \qquad
              s_p = \Bigl(\frac1m \sum_i |v_i|^p\Bigr)^{1/p}, \quad s_\infty = \max_i |v_i|

    where v = x, or x − μ if ``centred``. With p = 2 and centred it is batch normalization.

    Reference: Santurkar et al. 2018 (arXiv:1805.11604), Sec 3.3: they centre with the mean and divide by
    the norm of the **uncentred** activations, which is the default here.

    Differs: the paper gives no ε. Here it stands beside s², so that a layer that stores s² in place of the variance
    normalizes in evaluation as batch norm does.

    Shape: x and y (N, C, *S); gamma, beta (C,); mask broadcastable to (N, 1, *S).

    Args:
        p: 1, 2 or ``float("inf")``.
        centred: take the norm of x − μ.

    Returns: y in x's dtype, and :class:`Moments` whose ``var`` is s².

    Raises: ArgumentError, ShapeError, DtypeError.
    """
    check_p(p)
    x = shown(x, mask)
    n, mean, var = batch_moments(x, mask=mask)
    if p == 2:
        square = var if centred else var + mean.square()
    else:
        size = (widen(x) - along_features(mean, x) if centred else widen(x)).abs()
        average = p == 1 or size.numel() == 0
        norm = batch_moments(size, mask=mask).mean if average else shown(size, mask).amax(pooled_axes(size))
        square = norm.square()
    y = normalize(x, mean, square, gamma, beta, eps=eps)
    return shown(y, mask), Moments(n, mean, square)


def check_p(p: float) -> None:
    """Refuse every norm but three."""
    if p not in (1, 2, inf):
        raise ArgumentError(f"p must be 1, 2 or float('inf'), received {p}")
