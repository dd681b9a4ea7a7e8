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


def in_features(y: Tensor, x: Tensor, gamma: Tensor | None, beta: Tensor | None) -> Tensor:
    """Scale and shift feature by feature."""
    scaled = [affine(gamma, c, 1.0) * y[:, c] + affine(beta, c, 0.0) for c in range(x.shape[1])]
    return torch.stack(scaled, 1)


def ghost_batch_norm(
    x: Tensor, gamma: Tensor | None, beta: Tensor | None, eps: float, size: int, mask: Tensor | None = None
) -> Tensor:
    """Hoffer, Hubara & Soudry 2017, Algorithm 1: slices in a row, each normalized for itself."""
    pieces = []
    for start in range(0, len(x), size):
        piece = x[start : start + size]
        shown = None if mask is None else mask.expand(len(x), *mask.shape[1:])[start : start + size]
        pieces.append(batch_norm(piece, gamma, beta, eps, shown))
    return torch.cat(pieces)


def batch_renorm(
    x: Tensor,
    gamma: Tensor | None,
    beta: Tensor | None,
    eps: float,
    running_mean: Tensor,
    running_var: Tensor,
    r_max: float,
    d_max: float,
    mask: Tensor | None = None,
) -> Tensor:
    """Ioffe 2017, Algorithm 1, with deviations from variances."""
    y = torch.zeros(x.shape, dtype=torch.float64)
    for c in range(x.shape[1]):
        mean, var = mean_and_variance(feature_values(x, c, mask))
        std, running_std = sqrt(var + eps), sqrt(float(running_var[c]) + eps)
        r = min(max(std / running_std, 1 / r_max), r_max)
        d = min(max((mean - float(running_mean[c])) / running_std, -d_max), d_max)
        inside = [((v - mean) / std * r + d) for v in feature_values(x, c)]
        y[:, c] = torch.tensor(inside, dtype=torch.float64).reshape(y[:, c].shape)
    y = in_features(y, x, gamma, beta)
    return y if mask is None else torch.where(mask, y, 0.0)


def lp_batch_norm(
    x: Tensor,
    gamma: Tensor | None,
    beta: Tensor | None,
    eps: float,
    p: float,
    centred: bool,
    mask: Tensor | None = None,
) -> Tensor:
    """Santurkar et al. 2018, Sec 3.3: centre, then divide by the average norm of what was there before, or after."""
    squares, means = [], []
    for c in range(x.shape[1]):
        values = feature_values(x, c, mask)
        mean, _ = mean_and_variance(values)
        sizes = [abs(v - mean) if centred else abs(v) for v in values] or [0.0]
        norm = max(sizes) if p == float("inf") else (fsum(v**p for v in sizes) / len(sizes)) ** (1 / p)
        means.append(mean)
        squares.append(norm**2)
    statistics = (torch.tensor(v, dtype=torch.float64) for v in (means, squares))
    return normalize(x, *statistics, gamma, beta, eps, mask)


def noisy_batch_norm(
    x: Tensor, gamma: Tensor | None, beta: Tensor | None, eps: float, scale: Tensor, shift: Tensor
) -> Tensor:
    """Santurkar et al. 2018, Algorithm 1, last step, of noise already drawn."""
    y = batch_norm(x, gamma, beta, eps)
    triples = zip(scale.flatten().tolist(), y.flatten().tolist(), shift.flatten().tolist(), strict=True)
    return torch.tensor([s * a + m for s, a, m in triples], dtype=torch.float64).reshape(x.shape)


def in_rows(x: Tensor, groups: int, mask: Tensor | None = None) -> list[tuple[Tensor, Tensor]]:
    """For each group, its features as rows, centred with the mean of those that count: all, and those that count."""
    rows = []
    for c in range(x.shape[1]):
        mean, _ = mean_and_variance(feature_values(x, c, mask))
        rows.append(([v - mean for v in feature_values(x, c)], [v - mean for v in feature_values(x, c, mask)]))
    size = x.shape[1] // groups
    kinds = [torch.tensor([row[kind] for row in rows], dtype=torch.float64) for kind in (0, 1)]
    return [tuple(kind[g * size : (g + 1) * size] for kind in kinds) for g in range(groups)]


def out_of_rows(rows: list[Tensor], x: Tensor) -> Tensor:
    return torch.cat(rows).reshape(x.shape[1], len(x), *x.shape[2:]).movedim(0, 1)


def whitening_norm(
    x: Tensor, gamma: Tensor | None, beta: Tensor | None, eps: float, groups: int, mask: Tensor | None = None
) -> Tensor:
    """Huang et al. 2018: ZCA, from the singular values of the centred data; no covariance is formed."""
    whitened = []
    for everything, counted in in_rows(x, groups, mask):
        left, sizes, _ = torch.linalg.svd(counted, full_matrices=True)
        variances = torch.zeros(len(counted)).double()
        variances[: len(sizes)] = sizes.square() / counted.shape[1]
        whitened.append(left @ torch.diag((variances + eps) ** -0.5) @ left.T @ everything)
    y = in_features(out_of_rows(whitened, x), x, gamma, beta)
    return y if mask is None else torch.where(mask, y, 0.0)


def iter_norm(
    x: Tensor,
    gamma: Tensor | None,
    beta: Tensor | None,
    eps: float,
    groups: int,
    iterations: int,
    mask: Tensor | None = None,
) -> Tensor:
    """Huang et al. 2019, Algorithm 1."""
    whitened = []
    for everything, counted in in_rows(x, groups, mask):
        d, n = counted.shape
        sigma = [
            [fsum((a * b).tolist()) / n + eps * (i == j) for j, b in enumerate(counted)] for i, a in enumerate(counted)
        ]
        trace = fsum(sigma[i][i] for i in range(d))
        normed = torch.tensor(sigma, dtype=torch.float64) / trace
        p = torch.eye(d).double()
        for _ in range(iterations):
            p = (3 * p - torch.linalg.matrix_power(p, 3) @ normed) / 2
        whitened.append(p / sqrt(trace) @ everything)
    y = in_features(out_of_rows(whitened, x), x, gamma, beta)
    return y if mask is None else torch.where(mask, y, 0.0)


def example_weighted_norm(
    x: Tensor,
    mean: Tensor,
    var: Tensor,
    gamma: Tensor | None,
    beta: Tensor | None,
    eps: float,
    alpha: float,
    mask: Tensor | None = None,
) -> Tensor:
    """Summers & Dinneen 2020: E[x] and E[x²] mixed, example by example."""
    outputs = []
    for i in range(len(x)):
        example = x[i : i + 1]
        shown = None if mask is None else mask.expand(len(x), *mask.shape[1:])[i : i + 1]
        means, variances = [], []
        for c in range(x.shape[1]):
            own = feature_values(example, c, shown)
            if not own:  # nothing of it is shown
                own = [0.0]
            mu, second = float(mean[c]), float(var[c]) + float(mean[c]) ** 2
            means.append(alpha * fsum(own) / len(own) + (1 - alpha) * mu)
            variances.append(alpha * fsum(v * v for v in own) / len(own) + (1 - alpha) * second - means[-1] ** 2)
        statistics = (torch.tensor(v, dtype=torch.float64) for v in (means, variances))
        outputs.append(normalize(example, *statistics, gamma, beta, eps, shown))
    return torch.cat(outputs)
