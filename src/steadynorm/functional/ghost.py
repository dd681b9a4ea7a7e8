"""Ghost batch normalization: a batch is normalized piece by piece, each with its own statistics."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from ..errors import ArgumentError
from .moments import Moments, merge_moments
from .transform import batch_norm

__all__ = ["ghost_batch_norm"]


def ghost_batch_norm(
    x: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    ghost_batch_size: int,
    eps: float,
    mask: Tensor | None = None,
) -> tuple[Tensor, Moments]:
    r"""Normalize each ghost batch, ``ghost_batch_size`` examples in a row, with its own mean and variance.

    .. math:: y_i = \gamma\,\frac{x_i - \mu_g}{\sqrt{\sigma_g^2 + \epsilon}} + \beta, \qquad i \in B_g, \quad
              B = B_1 \cup \dots \cup B_k

    Reference: Hoffer, Hubara & Soudry 2017 (arXiv:1705.08741), Algorithm 1.

    Differs: the last ghost batch may be smaller. The moments returned are those of the whole batch, pieces merged by
    the law of total variance: they do not depend on the ghost size. The paper averages the pieces' own statistics into
    the running ones, one after the other, which loses the variance between them.

    Shape: x and y (N, C, *S); gamma, beta (C,); mask broadcastable to (N, 1, *S).

    Args:
        ghost_batch_size: 1 or more; from N on it is batch normalization.

    Returns: y in x's dtype, and the whole batch's :class:`Moments`.

    Raises: ArgumentError, ShapeError, DtypeError.
    """
    check_ghost_batch_size(ghost_batch_size)
    pieces = torch.split(x, ghost_batch_size)
    masks: Sequence[Tensor | None] = [None] * len(pieces)
    if mask is not None:
        masks = torch.split(mask.expand(len(x), *mask.shape[1:]), ghost_batch_size)
    results = [batch_norm(piece, gamma, beta, eps=eps, mask=m) for piece, m in zip(pieces, masks, strict=True)]
    return torch.cat([y for y, _ in results]), reduce(merge_moments, (moments for _, moments in results))


def check_ghost_batch_size(size: int) -> None:
    """Refuse what is no number of examples."""
    if size != int(size) or size < 1:
        raise ArgumentError(f"ghost_batch_size must be an integer, 1 or more, received {size}")
