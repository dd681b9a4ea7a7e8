r"""Batches so small that their statistics are noise.

A batch's mean is as sure as that of n_eff = σ²/(s²/N) independent values, s² the variance of the means of its N
examples: pixels of an image resemble each other. The mean then has an error of 1/√n_eff deviations, and the deviation
one of 1/√(2 n_eff), and together d² = 1.5/n_eff. It matters from d = 0.5 on, as everywhere here
(:mod:`steadynorm.doctor.distance`): n_eff < 6 in the median feature. Synchronized layers are left out, and layers that
are frozen or held in evaluation.
"""

from collections.abc import Iterator

from ...surgery.layers import Layer
from ..distance import MATTERS
from ..finding import Finding
from ..rule import Case

NEEDS = ("evidence",)

LEAST = 1.5 / MATTERS**2


def check(case: Case) -> Iterator[Finding]:
    """Take the median over the features that vary."""
    for layer, n in too_small(case):
        yield Finding(
            layer.name,
            "warning",
            {"effective batch": n, "expected error of a mean in σ": n**-0.5},
            "its batches have so few independent values that their statistics are mostly noise",
            "larger batches, sn.synchronize_(model) over ranks, or sn.convert_(model, 'group')",
        )


def too_small(case: Case) -> Iterator[tuple[Layer, float]]:
    """Yield the layers whose statistics are noise, each with its effective batch."""
    for layer in case.moving:
        seen = case.seen(layer)
        n = seen.median_effective_batch if seen is not None else None
        if n is not None and n < LEAST and not layer.is_synchronized:
            yield layer, n
