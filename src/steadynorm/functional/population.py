"""Population statistics from the moments of batches: three estimators, and what each gets wrong.

Letters: B a batch, m its number of values of a feature, μ_B and σ²_B its mean and biased variance, N all values
together.

An estimator is a value without state: ``start``, then ``update`` for each batch, then ``finish``; what goes between
them belongs to the caller, so one estimator serves any number of streams. :func:`population_statistics` runs one over a
sequence.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from ..errors import ArgumentError
from .moments import Moments, merge_moments
from .running import RunningStatistics, update_running_statistics

__all__ = ["Estimator", "MovingAverage", "PaperEstimator", "PooledEstimator", "population_statistics"]

State = TypeVar("State")


class Estimator(Protocol[State]):
    """How moments of batches become the population's mean and variance."""

    def update(self, state: State | None, moments: Moments) -> State:
        """Return the state after one more batch; None is the state before the first."""

    def finish(self, state: State) -> tuple[Tensor, Tensor]:
        """Return (mean, variance)."""


@dataclass(frozen=True)
class PooledEstimator:
    r"""Mean and variance of all values together, however they were cut into batches.

    .. math:: \mathrm E[x] = \frac1N \sum_B m_B \mu_B, \qquad
              \mathrm{Var}[x] = \frac{1}{N}\sum_B m_B \sigma^2_B + \frac1N \sum_B m_B (\mu_B - \mathrm E[x])^2

    Reference: the law of total variance; merged by :func:`merge_moments`.

    Bias: none from the cutting. With ``unbiased`` the variance is multiplied by N/(N−1), which makes it unbiased for
    independent values and is torch's convention; N is large, so it hardly matters.

    Args:
        unbiased: divide by N−1 instead of N.
    """

    unbiased: bool = True

    def update(self, state: Moments | None, moments: Moments) -> Moments:
        """Merge one more batch."""
        return moments if state is None else merge_moments(state, moments)

    def merge(self, a: Moments, b: Moments) -> Moments:
        """Return the state after the batches of both."""
        return merge_moments(a, b)

    def finish(self, state: Moments) -> tuple[Tensor, Tensor]:
        """Return mean and variance of all values."""
        return state.mean, state.unbiased_var if self.unbiased else state.var


class BatchAverage(NamedTuple):
    """Averages over the batches so far, each of the same weight."""

    batches: Tensor
    mean: Tensor
    unbiased_var: Tensor


@dataclass(frozen=True)
class PaperEstimator:
    r"""The average of the batches' means and of their unbiased variances, every batch of the same weight.

    .. math:: \mathrm E[x] = \mathrm E_B[\mu_B], \qquad \mathrm{Var}[x] = \frac{m}{m-1}\,\mathrm E_B[\sigma^2_B]

    Reference: Ioffe & Szegedy 2015, Algorithm 2, line 10 (Eq 5 of the article). For batches of unequal size each
    variance takes its own m; torch's ``momentum=None`` and ``update_bn`` compute the same.

    Bias: unbiased where the values of a batch are independent. Pixels of one image are not: a batch of m images of p
    positions then holds fewer than m·p independent values, and the variance comes out too small; with half of the
    variance between the images and 8×8 positions, to 0.75 of the truth at m = 2 and 0.985 at 32. Batches ordered by
    class lose the variance between them altogether. A batch that is smaller than the others counts for too much. A
    batch with fewer than two values has no unbiased variance and is left out, of the mean too.
    """

    def update(self, state: BatchAverage | None, moments: Moments) -> BatchAverage:
        """Average one more batch in."""
        counts = moments.count > 1
        mean, var = (torch.where(counts, v, 0) for v in (moments.mean, moments.unbiased_var))
        batch = BatchAverage(counts.to(moments.count.dtype), mean, var)
        return batch if state is None else self.merge(state, batch)

    def merge(self, a: BatchAverage, b: BatchAverage) -> BatchAverage:
        """Return the state after the batches of both."""
        batches = a.batches + b.batches
        share = (b.batches / batches.clamp(min=1)).to(a.mean.dtype)
        var = a.unbiased_var + (b.unbiased_var - a.unbiased_var) * share
        return BatchAverage(batches, a.mean + (b.mean - a.mean) * share, var)

    def finish(self, state: BatchAverage) -> tuple[Tensor, Tensor]:
        """Return the two averages, NaN if no batch had two values."""
        some = state.batches > 0
        return torch.where(some, state.mean, torch.nan), torch.where(some, state.unbiased_var, torch.nan)


@dataclass(frozen=True)
class MovingAverage:
    r"""The exponential moving average that layers keep while they train.

    .. math:: r \leftarrow (1 - a)\, r + a\, s_B, \qquad s_B = \mu_B \text{ or } \tfrac{m}{m-1}\sigma^2_B

    Reference: Ioffe & Szegedy 2015, Sec 3.1, which only mentions it; the recursion is
    :func:`update_running_statistics`.

    Bias: that of :class:`PaperEstimator`, and two more. After k batches the initial mean 0 and variance 1 still weigh
    :math:`(1-a)^k`; and it averages over about 1/a batches of a network that changes meanwhile, so it lags behind the
    weights.

    Args:
        momentum: between 0 and 1; None (with ``convention="new"``) weighs all batches equally, as torch does.
        convention: ``"new"``, momentum is the weight a of the new batch (torch, the article: 0.1); ``"old"``, it is
            the weight 1−a of the average so far (Keras, TensorFlow, Flax, ONNX, MXNet: 0.9 or 0.99).
        unbiased: store :math:`\frac{m}{m-1}\sigma^2_B` (torch, TensorFlow's fused kernel, Caffe) or σ²_B (Flax, ONNX,
            Keras 3).

    Raises: ArgumentError for a momentum outside [0, 1] or an unknown convention.
    """

    momentum: float | None = 0.1
    convention: Literal["new", "old"] = "new"
    unbiased: bool = True

    def __post_init__(self) -> None:
        if self.convention not in ("new", "old"):
            raise ArgumentError(f"convention must be 'new' or 'old', received {self.convention!r}")
        if self.momentum is None and self.convention == "old":
            raise ArgumentError(
                "momentum=None is torch's way to weigh all batches equally: use it with convention='new'"
            )
        if self.momentum is not None and not 0 <= self.momentum <= 1:
            raise ArgumentError(f"momentum must be between 0 and 1, received {self.momentum}")

    @property
    def new_weight(self) -> float | None:
        """a, the weight of the new batch; None if all batches weigh the same."""
        return self.momentum if self.momentum is None or self.convention == "new" else 1 - self.momentum

    def update(self, state: RunningStatistics | None, moments: Moments) -> RunningStatistics:
        """Average one more batch in; a feature whose statistics are not finite is skipped."""
        if state is None:
            state = RunningStatistics.initial(moments.mean)
        var = moments.unbiased_var if self.unbiased else moments.var
        return update_running_statistics(state, moments.mean, var, momentum=self.new_weight)

    def finish(self, state: RunningStatistics) -> tuple[Tensor, Tensor]:
        """Return the running mean and variance."""
        return state.mean, state.var


def population_statistics(moments_of_batches: Iterable[Moments], estimator: Estimator[Any]) -> tuple[Tensor, Tensor]:
    r"""Estimate the population's mean and variance, with which a trained network normalizes.

    Reference: Ioffe & Szegedy 2015, Algorithm 2, line 10 (Eq 5 of the article).

    Args:
        moments_of_batches: what :func:`batch_moments` returned, batch by batch; read once.
        estimator: :class:`PooledEstimator`, :class:`PaperEstimator`, :class:`MovingAverage`, or another
            :class:`Estimator`.

    Returns: mean and variance, (C,) each.

    Raises: ArgumentError if there is no batch.

    >>> from steadynorm.functional import batch_moments
    >>> batches = [batch_moments(torch.tensor([[0.0], [2.0]])), batch_moments(torch.tensor([[10.0], [12.0]]))]
    >>> population_statistics(batches, PooledEstimator(unbiased=False))
    (tensor([6.]), tensor([26.]))
    >>> population_statistics(batches, PaperEstimator())
    (tensor([6.]), tensor([2.]))
    """
    state = None
    for moments in moments_of_batches:
        state = estimator.update(state, moments)
    if state is None:
        raise ArgumentError("population statistics need at least one batch, received none: is the iterator used up?")
    return estimator.finish(state)
