r"""How far a layer's running statistics are from those of the data, and whether that is more than noise.

For each feature, with the data's mean μ and variance σ² and the running ones μ_r and σ_r²,

.. math:: d^2 = \frac{(\mu_r - \mu)^2}{\max(\sigma^2, \sigma_r^2) + \epsilon}
          + \frac{\sigma^2}{\sigma^2 + \epsilon}\, \frac14 \ln^2 \frac{\sigma_r^2 + \epsilon}{\sigma^2 + \epsilon}

is to first order the power of the error in the normalized output, whose own power is σ²/(σ²+ε): 1, but for features
that are constant. Its mean over the features is the layer's. It **matters** from d = 0.5 on: of what the next layer
then gets, d²/(1 + d²) = a fifth is error. From 1 on the error is as large as the signal.

It is **noise** where batches differ as much: a network is trained with each batch's own statistics, which vary by b²
from batch to batch; a moving average of momentum m varies by b² m/(2−m), at most b², and the mean of K batches by
b²/K. So noise² = b²(1 + 1/K), in the units of d², averaged likewise. Features of a layer are correlated: in the worst
case d²/noise² is χ² with one degree of freedom, and its chance beyond 4 deviations is 6·10⁻⁵, 1 % over 150 layers.
"""

from typing import NamedTuple

import torch

from ..reports import Cell
from .evidence import Seen
from .finding import Severity

__all__ = ["MATTERS", "Distance", "distance"]

MATTERS = 0.5
OVERWHELMS = 1.0
DEVIATIONS = 4.0


class Distance(NamedTuple):
    """The distance of one layer, and its features that are farthest."""

    effect: float
    """d."""
    noise: float
    shift: float
    """The largest |μ_r − μ|, in σ."""
    ratio: float
    """The largest ratio of the variances, either way."""

    @property
    def is_far(self) -> bool:
        """Whether it matters, and is no noise."""
        return self.effect >= MATTERS and self.effect > DEVIATIONS * self.noise

    @property
    def severity(self) -> Severity:
        """An error if the error is as large as the signal."""
        return "error" if self.effect >= OVERWHELMS else "warning"

    @property
    def numbers(self) -> dict[str, Cell]:
        """For a finding."""
        names = ("d", "noise of d", "largest mean shift in σ", "largest variance ratio")
        return dict(zip(names, self, strict=True))


def distance(seen: Seen | None) -> Distance | None:
    """Measure one layer; None if it has no such statistics, or they or the data are not finite."""
    if seen is None or not seen.rows or seen.layer.statistics is None:
        return None
    mean, var = (v.detach().double() for v in seen.layer.statistics)
    n = seen.pooled.count
    data_mean, data_var = seen.pooled.mean, seen.pooled.var * (n / (n - 1).clamp(min=1))
    eps = seen.layer.module.eps
    apart, scale = (mean - data_mean).abs(), (data_var + eps).sqrt()
    ratio = (var + eps) / (data_var + eps)
    if not bool(torch.isfinite(apart + ratio.log()).all()):
        return None
    k = len(seen.batches)
    of_mean, of_var = seen.batch_noise
    noise = (of_mean / (data_var + eps) + of_var / (4 * (data_var + eps).square())) * (1 + 1 / k)
    power = data_var / (data_var + eps)
    shift = apart.square() / (torch.maximum(data_var, var) + eps)
    effect = shift + power * ratio.log().square() / 4
    return Distance(
        float(effect.mean().sqrt()),
        float(noise.mean().sqrt()),
        float((apart / scale).max()),
        float(torch.maximum(ratio, 1 / ratio).max()),
    )
