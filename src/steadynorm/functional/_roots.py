"""The inverse square root of symmetric positive matrices, in two ways, with gradients that need no eigenvalue gaps.

Letters: A the matrix, W = A^(−1/2), λ eigenvalues; matrices may be stacked: (..., d, d).
"""

from typing import Any

import torch
from torch import Tensor

from .._torch import Function

__all__ = ["inverse_root", "newton_inverse_root"]


def inverse_root(matrix: Tensor) -> Tensor:
    r"""The symmetric inverse square root, by eigenvalues.

    .. math:: W = A^{-1/2} = U \Lambda^{-1/2} U^T, \qquad W\,\mathrm dW + \mathrm dW\,W = -W^2\,\mathrm dA\,W^2

    The gradient solves that Lyapunov equation, as Lin & Maji 2017 (arXiv:1707.06772) do for the square root: the
    eigenvalues enter by sums, :math:`1/(\sqrt{\lambda_i} + \sqrt{\lambda_j})`, so equal ones do no harm, where the
    gradient of an eigendecomposition divides by their difference. Differentiable any number of times, and forward.
    Eigenvalues below d times the largest one's rounding error are raised to that: they may come out negative.

    Shape: (..., d, d), symmetric and positive definite.
    """
    # dynamo refuses functions with a jvp, and what it compiles needs none
    function = _InverseRoot if torch.compiler.is_compiling() else _ForwardInverseRoot
    return function.apply(matrix)


def newton_inverse_root(matrix: Tensor, iterations: int) -> Tensor:
    r"""The inverse square root, approached by Newton's iteration.

    .. math:: A_N = A / \mathrm{tr}A, \quad P_0 = I, \quad P_k = \tfrac12\bigl(3 P_{k-1} - P_{k-1}^3 A_N\bigr), \quad
              W \approx P_T / \sqrt{\mathrm{tr}A}

    Reference: Huang et al. 2019 (arXiv:1904.03441), Algorithm 1. Directions of large eigenvalue come first: after few
    iterations those of small ones are not yet at their full length.

    Differs: :math:`P_k` is computed together with :math:`P_k A_N`, which goes to the root (Higham 2008, *Functions of
    Matrices*, Sec 6.3). The values are the same, but as the paper writes it rounding grows, and beyond some 15
    iterations it diverges.

    Shape: (..., d, d), symmetric and positive definite.
    """
    trace = matrix.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    normed = matrix / trace
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device).expand_as(matrix)
    p, root = eye, normed
    for _ in range(iterations):
        step = (3 * eye - p @ root) / 2
        p, root = step @ p, root @ step
    return p * trace.rsqrt()


def _eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues and vectors; where an entry is not finite, NaN, where the library would raise or hang."""
    finite = torch.isfinite(matrix).all(-1).all(-1)
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    values, vectors = torch.linalg.eigh(torch.where(finite[..., None, None], matrix, eye))
    return torch.where(finite[..., None], values, torch.nan), vectors


class _InverseRoot(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor) -> Tensor:
        values, vectors = _eigen(a)
        floor = values.amax(-1, keepdim=True) * (a.shape[-1] * torch.finfo(a.dtype).eps)
        return (vectors * values.maximum(floor).rsqrt()[..., None, :]) @ vectors.mT

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (w,) = ctx.saved_tensors
        da: Tensor = -w @ _lyapunov(w, w @ gradient @ w) @ w
        return da


class _ForwardInverseRoot(_InverseRoot):
    @staticmethod
    def jvp(ctx: Any, da: Tensor) -> Tensor:
        (w,) = ctx.saved_tensors
        return _lyapunov(w, -w @ w @ da @ w @ w)


def _lyapunov(q: Tensor, c: Tensor) -> Tensor:
    """Solve Q X + X Q = C for X, where Q is symmetric and positive definite."""
    return _Lyapunov.apply(q, c)


class _Lyapunov(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(q: Tensor, c: Tensor) -> Tensor:
        values, vectors = _eigen((q + q.mT) / 2)
        sums = values[..., :, None] + values[..., None, :]
        return vectors @ ((vectors.mT @ c @ vectors) / sums) @ vectors.mT

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[0], output)
        ctx.save_for_forward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        q, x = ctx.saved_tensors
        s = _lyapunov(q, gradient)
        return -(s @ x.mT + x.mT @ s), s

    @staticmethod
    def jvp(ctx: Any, dq: Tensor, dc: Tensor) -> Tensor:
        q, x = ctx.saved_tensors
        return _lyapunov(q, dc - dq @ x - x @ dq)
