"""The papers' formulas as loops over Python floats. Imports nothing of steadynorm: no formula checks itself.

Tensors are read and built in float64, feature by feature; sums are exact (math.fsum).
"""

from math import fsum, sqrt

import torch
from torch import Tensor


def feature_values(x: Tensor, c: int, mask: Tensor | None = None) -> list[float]:
    """The values of feature c over batch and positions, those that count."""
    values = x.select(1, c).flatten().double().tolist()
    if mask is None:
        return values
    counts = mask.expand(x.shape[0], 1, *x.shape[2:]).select(1, 0).flatten().tolist()
    return [v for v, counted in zip(values, counts, strict=True) if counted]


def mean_and_variance(values: list[float]) -> tuple[float, float]:
    """Mean and biased variance; of nothing, 0 and 0."""
    if not values:
        return 0.0, 0.0
    mean = fsum(values) / len(values)
    return mean, fsum((v - mean) ** 2 for v in values) / len(values)


def moments(x: Tensor, mask: Tensor | None = None) -> tuple[int, Tensor, Tensor]:
    """Count, means, biased variances."""
    per_feature = [feature_values(x, c, mask) for c in range(x.shape[1])]
    pairs = [mean_and_variance(values) for values in per_feature]
    stacked = torch.tensor(pairs, dtype=torch.float64).reshape(-1, 2)
    return len(per_feature[0]), stacked[:, 0], stacked[:, 1]


def affine(v: Tensor | None, c: int, default: float) -> float:
    return default if v is None else float(v.detach()[c])


def batch_norm(x: Tensor, gamma: Tensor | None, beta: Tensor | None, eps: float, mask: Tensor | None = None) -> Tensor:
    """Ioffe & Szegedy 2015, Algorithm 1."""
    _, mean, var = moments(x, mask)
    return normalize(x, mean, var, gamma, beta, eps, mask)


def normalize(
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    gamma: Tensor | None,
    beta: Tensor | None,
    eps: float,
    mask: Tensor | None = None,
) -> Tensor:
    """The last two lines of Algorithm 1, with given statistics; hidden positions are 0."""
    y = torch.zeros(x.shape, dtype=torch.float64)
    for c in range(x.shape[1]):
        scale, shift = affine(gamma, c, 1.0), affine(beta, c, 0.0)
        inside = [scale * (v - float(mean[c])) / sqrt(float(var[c]) + eps) + shift for v in feature_values(x, c)]
        y[:, c] = torch.tensor(inside, dtype=torch.float64).reshape(y[:, c].shape)
    return y if mask is None else torch.where(mask, y, 0.0)


def batch_norm_backward(
    dy: Tensor,
    x: Tensor,
    gamma: Tensor | None,
    eps: float,
    mask: Tensor | None = None,
    statistics: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The six formulas of Sec 3, one feature at a time, with the batch's mean and variance or with given ones."""
    dx = torch.zeros(x.shape, dtype=torch.float64)
    dgamma, dbeta = torch.zeros(x.shape[1]).double(), torch.zeros(x.shape[1]).double()
    shown = torch.ones(x.shape[0], 1, *x.shape[2:], dtype=torch.bool) if mask is None else mask
    shown = shown.expand(x.shape[0], 1, *x.shape[2:]).select(1, 0)
    for c in range(x.shape[1]):
        xs, dys = feature_values(x, c, mask), feature_values(dy, c, mask)
        m = len(xs)
        if m == 0:
            continue
        mean, var = mean_and_variance(xs) if statistics is None else [float(v[c]) for v in statistics]
        root = sqrt(var + eps)
        x_hat = [(v - mean) / root for v in xs]
        dx_hat = [d * affine(gamma, c, 1.0) for d in dys]
        dvar = fsum(d * (v - mean) * -0.5 * (var + eps) ** -1.5 for d, v in zip(dx_hat, xs, strict=True))
        dmean = fsum(d * -1 / root for d in dx_hat) + dvar * fsum(-2 * (v - mean) for v in xs) / m
        inside = [d / root + dvar * 2 * (v - mean) / m + dmean / m for d, v in zip(dx_hat, xs, strict=True)]
        dx[:, c][shown] = torch.tensor(inside, dtype=torch.float64)
        dgamma[c] = fsum(d * h for d, h in zip(dys, x_hat, strict=True))
        dbeta[c] = fsum(dys)
    return dx, dgamma, dbeta


def running_average(
    batches: list[tuple[float, float]], momentum: float | None, start: tuple[float, float] = (0.0, 1.0)
) -> tuple[float, float]:
    """torch's running mean and variance of one feature after these batches' (mean, unbiased variance)."""
    mean, var = start
    for k, (m, v) in enumerate(batches, start=1):
        a = 1 / k if momentum is None else momentum
        mean, var = (1 - a) * mean + a * m, (1 - a) * var + a * v
    return mean, var
