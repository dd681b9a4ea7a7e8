"""What a few batches show of a model: statistics of each batch norm's input, as in training, and how sure they are.

Letters: n how many values of a feature, N examples of a batch, m_i and v_i mean and variance of example i, K batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .._torch import tree_leaves
from ..functional import Moments, batch_moments, merge_moments
from ..nn.dispatch import moments as fused_moments
from ..surgery.change import preserved
from ..surgery.layers import Layer
from ..surgery.watch import Forward, by_given_moments, call, device_of, given_to, hooked, modes_kept
from .subject import Subject
from .wiring import Wiring

__all__ = ["Evidence", "Row", "Seen", "examine"]


class Row(NamedTuple):
    """One use of a layer on one batch; all in float64, a value a feature."""

    batch: int
    examples: int
    moments: Moments
    mean_scatter: Tensor
    """The variance of m_i over the examples, divided by N−1."""
    square_scatter: Tensor
    """The same of v_i + (m_i − μ)², example i's mean square distance from the batch's mean."""


@dataclass
class Seen:
    """What one layer was given."""

    layer: Layer
    rows: list[Row] = field(default_factory=list)
    masked: bool = False
    """Whether it is given masks."""
    broken: set[int] = field(default_factory=set)
    """Batches with values that are not finite; they are not in the rows."""

    @cached_property
    def batches(self) -> list[Moments]:
        """The moments of each batch, all uses in it together."""
        together: dict[int, Moments] = {}
        for row in self.rows:
            before = together.get(row.batch)
            together[row.batch] = row.moments if before is None else merge_moments(before, row.moments)
        return list(together.values())

    @cached_property
    def pooled(self) -> Moments:
        """The moments of all batches together."""
        return reduce(merge_moments, self.batches)

    @cached_property
    def batch_noise(self) -> tuple[Tensor, Tensor]:
        """How much the mean and the variance of one batch vary from batch to batch: two variances.

        The larger of two estimates: from how the examples of a batch differ, divided by N; and from how the batches
        differ, which is more where they are not drawn at random. Infinite where there is neither.
        """
        within = [[getattr(row, name) / row.examples for row in self.rows] for name in Row._fields[3:]]
        between = [[m.mean for m in self.batches], [m.var for m in self.batches]]
        mean, var = (torch.stack(_spread(w, b)).amax(0) for w, b in zip(within, between, strict=True))
        return mean, var

    @cached_property
    def effective_batch(self) -> Tensor:
        r"""How many independent values would give as sure a mean as a batch does, for each feature.

        .. math:: n_{eff} = \frac{\sigma^2}{s^2 / N}, \qquad s^2 \text{ the variance of } m_i

        The pixels of an image resemble each other, so this is less than the number of values.
        """
        within = _average([row.mean_scatter / row.examples for row in self.rows])
        return self.pooled.var / within if within is not None else torch.full_like(self.pooled.var, torch.nan)

    @property
    def median_effective_batch(self) -> float | None:
        """The median of :attr:`effective_batch` over the features that vary; None where it is not known."""
        known = self.effective_batch[torch.isfinite(self.effective_batch)] if self.rows else torch.empty(0)
        return float(known.median()) if len(known) else None


def _average(values: list[Tensor]) -> Tensor | None:
    finite = [v for v in values if bool(torch.isfinite(v).all())]
    return torch.stack(finite).mean(0) if finite else None


def _spread(within: list[Tensor], between: list[Tensor]) -> list[Tensor]:
    """Return the estimates of a batch's variance that there are."""
    found = [] if (mean := _average(within)) is None else [mean]
    if len(between) > 1:
        found.append(batch_moments(torch.stack(between)).unbiased_var)
    return found or [torch.full_like(between[0], torch.inf)]


@dataclass
class Evidence:
    """What was seen of a model."""

    seen: dict[nn.Module, Seen]
    """By layer, in the order of first use; as in training, with dropout."""
    without_dropout: dict[nn.Module, Seen]
    """The same without dropout; empty if the model draws no random numbers."""
    wiring: Wiring
    first_inputs: list[Tensor]
    """The model's own input, of the first batch only: the first floating-point tensor in it."""
    example_means: list[Tensor]
    """For each batch, (N, C): the means of each example in the first batch norm."""
    batches: int = 0


def examine(subject: Subject, batches: Iterable[Any], forward: Forward | None, *, training: bool = True) -> Evidence:
    """Run every batch as in training, and once more without dropout if there is any; the model is the same after it.

    Batch norms normalize by the statistics of what they are given, which move nothing; those that are held from
    training by their running ones. With ``training=False`` all else is in evaluation, and each batch runs once.
    """
    evidence = Evidence({}, {}, Wiring(), [], [])
    draws = False
    with preserved(subject.root), torch.no_grad(), torch.compiler.set_stance("force_eager"):
        for number, batch in enumerate(batches):
            random = torch.get_rng_state()
            with _normalizing(subject, evidence.seen, number, evidence.example_means, training=training):
                if number == 0:
                    with evidence.wiring.watching(subject.root):
                        call(subject.root, batch, forward)
                    evidence.first_inputs = [t for t in _tensors(batch) if t.is_floating_point()][:1]
                else:
                    call(subject.root, batch, forward)
            if number == 0 and training:
                draws = not torch.equal(random, torch.get_rng_state()) or device_of(subject.root).type != "cpu"
            if draws:
                with _normalizing(subject, evidence.without_dropout, number, [], training=False):
                    call(subject.root, batch, forward)
            evidence.batches += 1
    return evidence


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


@contextmanager
def _normalizing(
    subject: Subject, seen: dict[nn.Module, Seen], number: int, means: list[Tensor], *, training: bool
) -> Iterator[None]:
    """Put the model into training or evaluation, its batch norms to work with the statistics of what they are given."""
    layers = {layer.module: layer for layer in subject.batch_norms}
    taking = {layer.module for layer in subject.moving}
    held = {module for module, layer in layers.items() if subject.holds(layer)}  # the modes as they were given tell
    with modes_kept(subject.root), by_given_moments(taking) as use:
        subject.root.train(training)
        for module in taking | held:
            module.eval()

        def see(module: nn.Module, args: Any, kwargs: Any) -> None:
            x, mask = given_to(module, args, kwargs)
            known = seen.setdefault(module, Seen(layers[module]))
            known.masked |= mask is not None
            row, each = _row(number, x.detach(), mask)
            if not bool(torch.isfinite(row.moments.mean + row.moments.var).all()):
                known.broken.add(number)
            else:
                known.rows.append(row)
                if next(iter(seen)) is module and len(means) == number:
                    means.append(each)
            if module in taking:
                use(module, row.moments)

        with hooked(layers, see):
            yield


def _row(number: int, x: Tensor, mask: Tensor | None) -> tuple[Row, Tensor]:
    """Return the statistics of one batch, from those of its examples, whose means come along."""
    count, mean, var = _each_masked(x, mask) if mask is not None else _each(x)
    count = count.unsqueeze(1)
    of_means = batch_moments(mean, weights=count)
    values = count.sum()
    inside = (count * var).sum(0) / values.clamp(min=1)
    moments = Moments(values, of_means.mean, of_means.var + inside)
    there = (count > 0).squeeze(1)
    squares = var + (mean - moments.mean).square()
    scatters = (batch_moments(t[there]).unbiased_var for t in (mean, squares))
    return Row(number, int(there.sum()), moments, *scatters), mean


def _each(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each example the number of values, and (N, C) means and variances: one pass over x."""
    n, c = x.shape[:2]
    count = torch.full((n,), x.shape[2:].numel(), dtype=torch.float64, device=x.device)
    if x.dim() == 2 or x.numel() == 0:
        return count, x.reshape(n, c, -1).double().sum(2), torch.zeros(n, c, dtype=torch.float64, device=x.device)
    _, mean, var = fused_moments(x.reshape(1, n * c, *x.shape[2:]))
    return count, mean.double().view(n, c), var.double().view(n, c)


def _each_masked(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    masks = mask.expand(len(x), *mask.shape[1:])
    found = [fused_moments(x[i : i + 1], masks[i : i + 1]) for i in range(len(x))]
    return tuple(torch.stack([one[j].double() for one in found]) for j in range(3))  # type: ignore[return-value]
