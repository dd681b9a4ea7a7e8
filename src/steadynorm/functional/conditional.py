"""Conditional batch normalization: one γ and one β for each of several classes."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import ArgumentError, DtypeError, ShapeError
from ._tensors import shown, widen
from .moments import Moments
from .transform import batch_norm

__all__ = ["conditional_batch_norm"]


def conditional_batch_norm(
    x: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    classes: int | Tensor,
    eps: float,
    mask: Tensor | None = None,
) -> tuple[Tensor, Moments]:
    r"""Normalize with the whole batch's statistics, then scale and shift each example by the γ and β of its class.

    .. math:: y_i = \gamma_{k_i}\,\frac{x_i - \mu_B}{\sqrt{\sigma_B^2 + \epsilon}} + \beta_{k_i}

    Reference: de Vries et al. 2017 (arXiv:1707.00683), *Conditional Batch Normalization*; with a table of classes, as
    here, Miyato & Koyama 2018 (arXiv:1802.05637).

    Shape: x and y (N, C, *S); gamma, beta (K, C) for K classes; classes an integer, or a tensor (N,) of integers from 0
    to K−1; mask broadcastable to (N, 1, *S).

    Returns: y in x's dtype, and the batch's :class:`Moments`.

    Raises: ArgumentError, ShapeError, DtypeError.
    """
    table = gamma if gamma is not None else beta
    if table is not None:
        check_classes(classes, x, len(table))
    y, moments = batch_norm(widen(x), None, None, eps=eps, mask=mask)
    return scale_by_class(y, gamma, beta, classes, mask).to(x.dtype), moments


def scale_by_class(
    y: Tensor, gamma: Tensor | None, beta: Tensor | None, classes: int | Tensor, mask: Tensor | None = None
) -> Tensor:
    """Return γ_k y + β_k with the class k of each example, and 0 where the mask is False."""
    for table, with_it in ((gamma, torch.mul), (beta, torch.add)):
        if table is not None:
            v = of_class(table, classes)
            y = with_it(y, v.reshape(*v.shape, *[1] * (y.dim() - 2)))
    return shown(y, mask)


def of_class(table: Tensor, classes: int | Tensor) -> Tensor:
    """Return a table's row, (C,), or the row of each example, (N, C)."""
    # an index would take -1 for the last class where values are not looked at
    return F.embedding(classes.long(), table) if isinstance(classes, Tensor) else table[classes]


def check_classes(classes: int | Tensor, x: Tensor, count: int) -> None:
    """Refuse what does not say a class for each example. Values on a device, or compiled, are not looked at."""
    if isinstance(classes, Tensor):
        if classes.is_floating_point() or classes.is_complex() or classes.dtype == torch.bool:
            raise DtypeError(f"classes must be integers, received {classes.dtype}: call .long()")
        if classes.dim() > 1 or (classes.dim() == 1 and len(classes) != len(x)):
            raise ShapeError(
                f"classes must be one for each of the {len(x)} examples, of shape ({len(x)},), received "
                f"{tuple(classes.shape)}"
            )
        if not classes.is_cpu or not classes.numel() or torch.compiler.is_compiling():
            return
        least, most = int(classes.min()), int(classes.max())
    else:
        least = most = classes
    if not 0 <= least <= most < count:
        raise ArgumentError(f"classes must be from 0 to {count - 1}, received {least if least < 0 else most}")
