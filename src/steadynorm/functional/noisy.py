"""Noise after batch normalization that shifts and scales every unit anew at every step."""

from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from ..errors import ArgumentError
from ._tensors import shown, wide_dtype
from .moments import Moments
from .transform import batch_norm

__all__ = ["Noise", "draw_noise", "noisy_batch_norm"]

# Santurkar et al. 2018, Appendix A.
SHIFT_OF_UNIT, SCALE_OF_UNIT, SPREAD = 0.5, 0.25, 0.1


class Noise(NamedTuple):
    """One draw for a batch."""

    scale: Tensor
    """s, (N, C, *S)."""
    shift: Tensor
    """m, (N, C, *S)."""


def draw_noise(x: Tensor, *, dose: float = 1.0, generator: Generator | None = None) -> Noise:
    r"""Draw a shift and a scale for every unit, and around these for every activation.

    .. math:: \mu_j \sim U(-n_\mu, n_\mu), \quad \sigma_j \sim U(1, n_\sigma), \qquad
              m_{ij} \sim U(\mu_j - r, \mu_j + r), \quad s_{ij} \sim N(\sigma_j, r^2)

    with :math:`n_\mu = 0.5\,k,\ n_\sigma = 1 + 0.25\,k,\ r = 0.1\,k` for the dose k.

    Reference: Santurkar et al. 2018 (arXiv:1805.11604), Algorithm 1 of the appendix, with its values at dose 1.

    Differs: the dose. The paper's r_σ is read as a standard deviation. Positions of an image are drawn as examples are.

    Shape: x (N, C, *S), of which shape, device and dtype (float32 or wider) are taken.

    Args:
        dose: k, 0 or more; at 0 every scale is 1 and every shift 0.
        generator: None for torch's global one.

    Raises: ArgumentError.
    """
    check_dose(dose)
    like: Any = {"dtype": wide_dtype(x.dtype), "device": x.device}
    unit = (1, x.shape[1], *[1] * (x.dim() - 2))

    def uniform(shape: tuple[int, ...], low: float, high: float) -> Tensor:
        return torch.empty(shape, **like).uniform_(low, high, generator=generator)

    half, spread = SHIFT_OF_UNIT * dose, SPREAD * dose
    mu = uniform(unit, -half, half)
    sigma = uniform(unit, 1.0, 1 + SCALE_OF_UNIT * dose)
    m = uniform(x.shape, -spread, spread).add_(mu)
    s = torch.empty(x.shape, **like).normal_(0, spread, generator=generator).add_(sigma)
    return Noise(s, m)


def noisy_batch_norm(
    x: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    noise: Noise,
    eps: float,
    mask: Tensor | None = None,
) -> tuple[Tensor, Moments]:
    r"""Batch normalization, and on its output one draw of noise.

    .. math:: y_{ij} = s_{ij}\,\mathrm{BN}(x)_{ij} + m_{ij}

    Reference: Santurkar et al. 2018 (arXiv:1805.11604), Sec 2.1 and Algorithm 1 of the appendix.

    Shape: x and y (N, C, *S); gamma, beta (C,); mask broadcastable to (N, 1, *S).

    Returns: y in x's dtype, and the batch's :class:`Moments`, which the noise does not touch.

    Raises: ShapeError, DtypeError, ArgumentError.
    """
    y, moments = batch_norm(x, gamma, beta, eps=eps, mask=mask)
    return shown(add_noise(y, noise), mask), moments


def add_noise(y: Tensor, noise: Noise) -> Tensor:
    r"""Scale and shift every activation by one draw, in y's dtype.

    .. math:: y_{ij} \leftarrow s_{ij}\,y_{ij} + m_{ij}
    """
    return torch.addcmul(noise.shift, noise.scale, y).to(y.dtype)


def check_dose(dose: float) -> None:
    """Refuse noise of a negative size."""
    if not dose >= 0:
        raise ArgumentError(f"dose must be 0 or more, received {dose}")
