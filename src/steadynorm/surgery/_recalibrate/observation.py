"""What a batch-norm layer is given, batch by batch: its statistics, and how sure they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from ...errors import ModelError
from ...functional import Moments, PaperEstimator, PooledEstimator, merge_moments
from ...nn.dispatch import moments as batch_moments
from ..ranks import exchange
from ..watch import by_given_moments, given_to, hooked

__all__ = ["Observation", "Prior", "observing"]


class Prior(NamedTuple):
    """The statistics that a layer had, and of how many examples they are to count."""

    examples: float
    mean: Tensor
    var: Tensor


class Observation:
    r"""The statistics of one layer's inputs over the batches so far, in float64.

    Besides the estimator's own state it keeps how the batches scatter, each weighing by the square of its number of
    values, n_B: the batches are drawn at random, the values within one are not independent of each other, so

    .. math:: \mathrm{SE}(\mu)^2 = \frac{K}{K-1}\,\frac{\sum_B n_B^2 (\mu_B - \mu)^2}{N^2}

    (the variance of a ratio estimator; K batches, N values together), and likewise for the variance, with the batch's
    mean square distance from the mean in place of μ_B. There the mean is that of the batches so far.
    """

    def __init__(self, estimator: PooledEstimator | PaperEstimator, prior: Prior | None = None) -> None:
        self.estimator = estimator
        self.prior = prior
        self.state: Any = None
        self.batches = 0  # in which the layer was used
        self.means: Moments | None = None
        self.squares: Moments | None = None
        self.values = 0.0
        self.examples = 0.0
        self._of_batch: Moments | None = None  # of the batch that is running: a layer may be used several times in it
        self._examples: list[int] = []  # of each use in it

    def add(self, moments: Moments, examples: int) -> None:
        """Take in one use of the layer."""
        self._examples.append(examples)
        wide = Moments(*(v.detach().double() for v in moments))
        self._of_batch = wide if self._of_batch is None else merge_moments(self._of_batch, wide)

    def end_batch(self, number: int, name: str) -> None:
        """Close a batch; refuse it if it is not finite."""
        moments, self._of_batch = self._of_batch, None
        if moments is None:
            return
        self.examples += sum(self._examples) / len(self._examples)
        self._examples = []
        if not bool(torch.isfinite(moments.mean + moments.var).all()):
            raise ModelError(
                f"the statistics of every layer must be finite, but batch {number} gave {name} values that are not: "
                "look for NaN or infinity in the data, or in a layer before it"
            )
        self.state = self.estimator.update(self.state, moments)
        n = float(moments.count)
        self.batches += 1
        self.values += n
        if n == 0:
            return
        square = moments.var + (moments.mean - self.state.mean).square()
        self.means = self._scatter(self.means, n, moments.mean)
        self.squares = self._scatter(self.squares, n, square)

    @staticmethod
    def _scatter(before: Moments | None, n: float, value: Tensor) -> Moments:
        one = Moments(torch.tensor(n * n, dtype=torch.float64, device=value.device), value, torch.zeros_like(value))
        return one if before is None else merge_moments(before, one)

    def gather(self, device: torch.device, group: ProcessGroup | None) -> None:
        """Merge all ranks' observations of this layer, in the order of the ranks, so that all get the same bits.

        The scatter of batches, and with it the standard error, stays that of this rank.
        """
        if group is None:
            return
        mine = None if self.state is None else type(self.state)(*(v.cpu() for v in self.state))
        every = exchange((mine, self.batches, self.values, self.examples), group)
        self.batches, self.values, self.examples = (sum(theirs) for theirs in list(zip(*every, strict=True))[1:])
        states = [state for state, *_ in every if state is not None]
        if states:
            merged = reduce(self.estimator.merge, states)
            self.state = type(merged)(*(v.to(device) for v in merged))

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and variance as the estimator gives them; refuse a variance of one value."""
        mean, var = self.estimator.finish(self.state)
        if not bool(torch.isfinite(mean + var).all()):
            raise ModelError("a variance needs two values of each feature, received one in all: give more data")
        return (mean, var) if self.prior is None else self._with(self.prior, mean, var)

    def _with(self, prior: Prior, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """Mix the statistics in that the layer had before."""
        share = torch.tensor(prior.examples / (prior.examples + self.examples), dtype=mean.dtype, device=mean.device)
        state = type(self.state)  # of either estimator: a weight, a mean, a variance
        _, mean, var = self.estimator.merge(state(share, prior.mean, prior.var), state(1 - share, mean, var))
        return mean, var

    def standard_error(self) -> float | None:
        """Return the largest relative standard error, of a mean in deviations, of a variance in itself; or None.

        None of one batch; a feature that is constant has no error.
        """
        if self.batches < 2 or self.means is None or self.squares is None:
            return None
        mean, var = self.estimator.finish(self.state)
        alive = var > 0
        if not bool(alive.any()):
            return 0.0
        inflation = self.batches / (self.batches - 1) / self.values**2
        errors = []
        for scatter, centre, scale in ((self.means, mean, var.sqrt()), (self.squares, self.squares.mean, var)):
            total = scatter.count * (scatter.var + (scatter.mean - centre).square())
            errors.append((total * inflation).sqrt()[alive] / scale[alive])
        return float(torch.cat(errors).max())


@contextmanager
def observing(observations: dict[nn.Module, Observation]) -> Iterator[None]:
    """Let each layer, in evaluation, normalize with the statistics of what it is given, and write these down.

    The layer's buffers are other ones in this block, and its own again after it. A batch of one or none is no error
    here: a layer in evaluation takes any.
    """
    with by_given_moments(observations) as use:

        def see(layer: nn.Module, args: Any, kwargs: Any) -> None:
            x, mask = given_to(layer, args, kwargs)
            moments = batch_moments(x, mask)
            observations[layer].add(moments, len(x))
            use(layer, moments)

        with hooked(observations, see):
            yield
