r"""Batches that differ more than random ones would: data in order, or a domain a batch.

The units are the examples' means m_i in the first batch norm, since pixels are not independent. The statistic is F, the
variance between batches over that within, N·Var(batch means)/Var(examples), averaged over the features. How it is
distributed under random sampling comes from the data: the examples are dealt to the batches anew 999 times, with a
fixed seed. A finding needs p ≤ 0.001, and F ≥ 1.5 so that it matters: batch means that scatter half as much again.
Batches of another size than the first are left out; it takes 4 of 2 examples. Where neighbours resemble each other (a
correlation of successive batches above 0.3) the batches are called ordered, else of one kind each.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..finding import Finding
from ..rule import Case

NEEDS = ("evidence",)

PERMUTATIONS = 999
MATTERS = 1.5
FEATURES = 16


def check(case: Case) -> Iterator[Finding]:
    """Test the first batch norm."""
    assert case.evidence is not None
    means = [m for m in case.evidence.example_means if m.shape == case.evidence.example_means[0].shape]
    if len(means) < 4 or len(means[0]) < 2:
        return
    x = torch.stack(means).cpu()  # (K, N, C)
    x = x[..., x.flatten(0, 1).std(0) > 0][..., :: max(1, x.shape[2] // FEATURES)]
    if not x.shape[2]:
        return
    observed, generator = _f(x), torch.Generator().manual_seed(0)
    flat = x.flatten(0, 1)
    dealt = [_f(flat[torch.randperm(len(flat), generator=generator)].view_as(x)) for _ in range(PERMUTATIONS)]
    p = (1 + sum(f >= observed for f in dealt)) / (1 + PERMUTATIONS)
    if p > 1 / (1 + PERMUTATIONS) or observed < MATTERS:
        return
    ordered = _neighbours(x.mean(1)) > 0.3
    yield Finding(
        next(iter(case.evidence.seen.values())).layer.name,
        "warning",
        {"F": observed, "p": p, "batches": len(means)},
        "the batches come in an order, neighbours resemble each other"
        if ordered
        else "each batch is of one kind, such as one domain or one class",
        "shuffle=True in the loader, then sn.recalibrate_(model, batches)"
        if ordered
        else "mix the kinds in every batch, or sn.convert_(model, 'domain', domains=[...])",
    )


def _f(x: Tensor) -> float:
    between = x.mean(1).var(0) * x.shape[1]
    return float((between / x.var(1).mean(0).clamp(min=1e-300)).mean())


def _neighbours(means: Tensor) -> float:
    """Return the correlation of successive batches, over all features."""
    z = means - means.mean(0)
    z = z / z.std(0).clamp(min=1e-300)
    return float((z[1:] * z[:-1]).mean())
