r"""Features that carry nothing: a variance near 0, or a γ near 0.

Near 0 is a variance below 10⁻⁴ of the layer's median, or within rounding of the mean, (8 u μ)² with u that of float32;
and a |γ| below 10⁻³ of the layer's median. A layer whose γ are all 0 is left out: residual branches start so. A note,
and a warning from half of the features on.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..finding import Finding, Severity
from ..rule import Case

NEEDS = ("evidence",)

NEAR = 1e-4


def varies(mean: Tensor, var: Tensor) -> Tensor:
    """Tell which features vary by more than rounding, and by more than a trifle beside the others."""
    rounding = (8 * torch.finfo(torch.float32).eps * mean.abs()).square()
    return var > torch.maximum(rounding, NEAR * var.median())


def check(case: Case) -> Iterator[Finding]:
    """Count them in each layer."""
    for layer in case.batch_norms:
        seen = case.seen(layer)
        if seen is None or not seen.rows or all(float(row.moments.count) <= 1 for row in seen.rows):
            continue
        still = ~varies(seen.pooled.mean, seen.pooled.var)
        gamma = layer.module.weight
        closed = torch.zeros_like(still)
        if gamma is not None and bool(gamma.any()):
            size = gamma.detach().double().abs()
            closed = size < 1e-3 * size.median()
        dead = int((still | closed).sum())
        if dead:
            numbers = {"dead features": dead, "of": len(still), "without variance": int(still.sum())}
            cause = "these features are the same for every input, or their γ lets nothing through"
            severity: Severity = "warning" if 2 * dead >= len(still) else "note"
            fix = "look at the layer before it: a ReLU that is never active, a large learning rate, weight decay on γ"
            yield Finding(layer.name, severity, numbers, cause, fix)
