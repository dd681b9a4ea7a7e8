"""Complex batch normalization: real and imaginary part of a feature are whitened together.

Letters: V the 2×2 covariance of a feature's real and imaginary part.
"""

import torch
from torch import Tensor

from ..errors import DtypeError
from ._tensors import check_eps, check_features
from .whitening import Covariance, batch_covariance, whiten

__all__ = ["complex_batch_norm", "complex_normalize"]


def complex_batch_norm(
    x: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    eps: float,
    mask: Tensor | None = None,
) -> tuple[Tensor, Covariance]:
    r"""Whiten each complex feature with the batch's mean and 2×2 covariance, then scale and shift.

    .. math:: y = \Gamma\,(V_B + \epsilon I)^{-1/2}
              \begin{pmatrix} \Re(x - \mu_B) \\ \Im(x - \mu_B) \end{pmatrix} + \beta, \qquad
              \Gamma = \begin{pmatrix} \gamma_{rr} & \gamma_{ri} \\ \gamma_{ri} & \gamma_{ii} \end{pmatrix}

    Reference: Trabelsi et al. 2018 (arXiv:1705.09792), Sec 3.5.

    Shape: x and y (N, C, *S), complex; gamma (C, 3), real, of γ_rr, γ_ii, γ_ri; beta (C, 2), real and imaginary part;
    mask broadcastable to (N, 1, *S).

    Returns: y in x's dtype, and the batch's :class:`Covariance`, its mean (2C,) in pairs of real and imaginary part,
    its cov (C, 2, 2).

    Raises: ArgumentError, ShapeError, DtypeError.
    """
    check_complex(x)
    moments = batch_covariance(as_pairs(x), groups=x.shape[1], mask=mask)
    y = complex_normalize(x, moments.mean, moments.cov, gamma, beta, eps=eps)
    return y if mask is None else torch.where(mask, y, 0), moments


def complex_normalize(
    x: Tensor, mean: Tensor, cov: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, *, eps: float
) -> Tensor:
    r"""Whiten with a given mean and covariance, then scale and shift: :func:`complex_batch_norm` in evaluation.

    Shape: x and y (N, C, *S), complex; mean (2C,), cov (C, 2, 2), gamma (C, 3), beta (C, 2).

    Raises: ArgumentError, ShapeError, DtypeError.
    """
    check_complex(x)
    return from_pairs(normalize_pairs(as_pairs(x), mean, cov, gamma, beta, eps=eps)).to(x.dtype)


def normalize_pairs(
    x: Tensor, mean: Tensor, cov: Tensor, gamma: Tensor | None, beta: Tensor | None, *, eps: float
) -> Tensor:
    """Do the same to real features in pairs, (N, 2C, *S)."""
    matrix, shift = map_of_pairs(cov, gamma, beta, eps=eps)
    return whiten(x, mean, matrix, None, shift)


def map_of_pairs(cov: Tensor, gamma: Tensor | None, beta: Tensor | None, *, eps: float) -> tuple[Tensor, Tensor | None]:
    r"""Return the matrices :math:`\Gamma (V + \epsilon I)^{-1/2}`, (C, 2, 2), and the shifts β, (2C,)."""
    matrix = inverse_root_of_pairs(cov, eps=eps)
    if gamma is not None:
        matrix = _symmetric(*gamma.to(matrix.dtype).T) @ matrix
    return matrix, None if beta is None else beta.reshape(-1).to(matrix.dtype)


def inverse_root_of_pairs(cov: Tensor, *, eps: float) -> Tensor:
    r"""Return the symmetric inverse root of 2×2 covariances in closed form.

    .. math:: (V + \epsilon I)^{-1/2} = \frac{1}{s t} \begin{pmatrix} V_{ii} + s & -V_{ri} \\ -V_{ri} & V_{rr} + s
              \end{pmatrix}, \qquad s = \sqrt{\det}, \quad t = \sqrt{\mathrm{tr} + 2 s}

    with ε in V_rr and V_ii. In float64, for the determinant is a difference of products.

    Shape: cov and the result (C, 2, 2).

    Raises: ArgumentError for an ε below 0.
    """
    check_eps(eps)
    rr, ri, _, ii = cov.double().flatten(1).T.unbind()
    rr, ii = rr + eps, ii + eps
    s = (rr * ii - ri.square()).sqrt()
    t = (rr + ii + 2 * s).sqrt()
    return (_symmetric(ii + s, rr + s, -ri) / (s * t)[:, None, None]).to(cov.dtype)


def _symmetric(rr: Tensor, ii: Tensor, ri: Tensor) -> Tensor:
    """Return (C, 2, 2) matrices from their entries."""
    return torch.stack([rr, ri, ri, ii]).T.reshape(-1, 2, 2)


def as_pairs(x: Tensor, *, last: bool = False) -> Tensor:
    """Return complex features, on the second axis or the last, as twice as many real ones: both parts in a row."""
    pairs = torch.view_as_real(x)
    return pairs.flatten(-2) if last else pairs.movedim(-1, 2).flatten(1, 2)


def from_pairs(x: Tensor, *, last: bool = False) -> Tensor:
    """Return what :func:`as_pairs` has made real as complex features."""
    at = x.dim() - 1 if last else 1
    parts = x.unflatten(at, (-1, 2)).movedim(at + 1, -1)  # type: ignore[no-untyped-call]
    return torch.view_as_complex(parts.contiguous())


def check_complex(x: Tensor) -> None:
    """Refuse what is not complex."""
    check_features(x)
    if not x.is_complex():
        raise DtypeError(f"complex batch normalization needs a complex tensor, received {x.dtype}: take batch norm")
