r"""Running statistics in 16 bits, which stop moving.

A step of the moving average, m·|x̄ − μ|, that is below half a unit in the last place of μ rounds away: bfloat16 has 8
bits, so with m = 0.001 every step below 4 times μ itself does. `model.half()` and `model.bfloat16()` cast the
statistics of torch's layers along; those of ours stay in float32. With data, the finding says in how many features a
step from the data would now be lost.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..finding import Finding
from ..rule import Case

SUPERSEDES = ("far-from-data", "stale-statistics", "momentum")


def check(case: Case) -> Iterator[Finding]:
    """Compare the next step with the distance to the next number."""
    for layer in case.moving:
        mean, var = layer.statistics or (torch.ones(1), torch.ones(1))
        if torch.finfo(var.dtype).bits > 16:
            continue
        seen = case.seen(layer)
        numbers: dict[str, str | int] = {"dtype": str(var.dtype).removeprefix("torch.")}
        if seen is not None and seen.rows and layer.module.momentum is not None:
            steps = [(v.double(), to) for v, to in ((mean, seen.pooled.mean), (var, seen.pooled.var))]
            lost = [(layer.module.momentum * (to - v)).abs() < _half_step(v, var.dtype) for v, to in steps]
            numbers["features that are stuck"] = int((lost[0] | lost[1]).sum())
        yield Finding(
            layer.name,
            "error",
            numbers,
            "the model was cast to 16 bits with its statistics, whose small steps round away",
            "sn.convert_(model, 'batch'), whose statistics stay in float32, then sn.recalibrate_(model, batches)",
        )


def _half_step(v: Tensor, dtype: torch.dtype) -> Tensor:
    """Return half the distance from each value to the next that the dtype has."""
    return torch.finfo(dtype).eps / 2 * torch.exp2(v.abs().clamp(min=torch.finfo(dtype).tiny).log2().floor())
