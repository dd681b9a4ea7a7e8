"""Where a growing bias ends in floating-point numbers: it stalls."""

import math

import torch

from ...claim import Drawn, Part, generator


def stall(step: float, dtype: torch.dtype) -> float:
    """Return the number at which b ← b + step no longer changes b, from 0.

    Between two powers of two every sum is rounded alike, so that whole such stretches are taken at once.
    """

    def rounded(value: float) -> float:
        return float(torch.tensor(value, dtype=torch.float64).to(dtype))

    step, b = rounded(step), 0.0
    while (after := rounded(b + step)) != b:
        gain = rounded(after + step) - after
        if gain == 0:
            return after
        top = 2.0 ** (math.floor(math.log2(after)) + 1)
        b = max(after, after + gain * (math.floor((top - after) / gain) - 1))
    return b


def measure(seed: int) -> dict[str, float]:
    """A step drawn between 1e-4 and 1, in three precisions."""
    step = 10 ** float(torch.empty(()).uniform_(-4, 0, generator=generator(seed)))
    end = stall(step, torch.float32)
    return {
        "largest bias over the largest float32": end / torch.finfo(torch.float32).max,
        "largest bias in float32 over the step": end / step,
        "largest bias in bfloat16 over the step": stall(step, torch.bfloat16) / step,
        "largest bias in float16 over the step": stall(step, torch.float16) / step,
    }


CLAIM = Drawn(
    id="bias/overflow",
    order=202,
    statement="The runaway bias grows until the arithmetic overflows.",
    source="the article, Eq 1; Ioffe & Szegedy 2015, Sec. 2, only say that b grows indefinitely",
    literature="overflow",
    covers=("S2", "E5"),
    protocol="Under centring alone the gradient is constant, so b ← b + step, rounded at every step, until a step "
    "changes nothing; steps drawn log-uniformly from 1e-4 to 1. Overflow: the bias comes to the largest float32.",
    parts=(
        Part("largest bias over the largest float32", at_least=1.0),
        Part("largest bias in float32 over the step", role="shown"),
        Part("largest bias in bfloat16 over the step", role="shown"),
        Part("largest bias in float16 over the step", role="shown"),
    ),
    measure=measure,
    instead="It stalls: once b is some {largest bias in float32 over the step} steps high, b + step rounds to b. In "
    "float16 that is after {largest bias in float16 over the step} steps. What blows up is scaling (bias/scaling).",
)
