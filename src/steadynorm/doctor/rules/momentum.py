r"""A momentum with which the running statistics cannot become those of the data.

Torch's momentum m weighs the new batch, so after n batches the initial 0 and 1 still weigh (1−m)ⁿ. It is 0: nothing
moves, an error. Above 0.5: most of the statistics are the last batch's; other frameworks write 1−m, a warning. With
`steps=` given, (1−m)ⁿ > 5 %: a warning. Without it the layers' own counters are taken; then the statistics must show
it: the share of 0 and 1 in them, fitted between these and the data by least squares, must be above half of (1−m)ⁿ, and
explain at least half of the squared distance. So recalibrated statistics, which count few batches, are no finding, and
statistics that are off in another direction are one of another rule.
"""

from collections.abc import Iterator

import torch

from ...surgery.layers import Layer
from ..evidence import Seen
from ..finding import Finding
from ..rule import Case

SUPERSEDES = ("far-from-data",)

LEFT = 0.05


def check(case: Case) -> Iterator[Finding]:
    """Compute what is left of the beginning."""
    for layer in case.moving:
        m = layer.module.momentum
        if m is None or layer.is_paused:
            continue
        if m == 0:
            cause = "its momentum is 0, so that its statistics never move"
            yield Finding(
                layer.name, "error", {"momentum": 0.0}, cause, "momentum=0.1, then sn.recalibrate_(model, batches)"
            )
        elif m > 0.5:
            cause = "its running statistics are mostly those of the last batch: in another framework m means 1 − m"
            fix = f"momentum={max(1 - m, 0.01):.4g} (see sn.convert_stats), then sn.recalibrate_(model, batches)"
            yield Finding(layer.name, "warning", {"momentum": m}, cause, fix)
        elif (n := _steps(case, layer, m)) and (1 - m) ** n > LEFT:
            cause = "its momentum is too small for so few steps: the initial 0 and 1 are still in its statistics"
            fix = f"momentum={1 - LEFT ** (1 / n):.3g} or more, or sn.recalibrate_(model, batches) at the end"
            yield Finding(layer.name, "warning", {"momentum": m, "steps": n, "still initial": (1 - m) ** n}, cause, fix)


def _steps(case: Case, layer: Layer, m: float) -> int:
    """Return the steps to reckon with; 0 if there is nothing to say."""
    if case.steps is not None:
        return case.steps
    counter = layer.module.num_batches_tracked
    n = 0 if counter is None else int(counter)
    seen, far = case.seen(layer), case.distance(layer)
    if not n or seen is None or far is None or not far.is_far or (1 - m) ** n <= LEFT:
        return 0
    return n if _initial_share(seen) > (1 - m) ** n / 2 else 0


def _initial_share(seen: Seen) -> float:
    """Return w where running = w · initial + (1−w) · data fits best, mean and variance together; 0 if it fits badly."""
    mean, var = (v.detach().double() for v in seen.layer.statistics or ())
    data = torch.cat([seen.pooled.mean, seen.pooled.var])
    initial = torch.cat([torch.zeros_like(mean), torch.ones_like(var)])
    way, off = initial - data, torch.cat([mean, var]) - data
    share = off.dot(way) / way.square().sum()
    explained = share.square() * way.square().sum() / off.square().sum()
    return float(share) if explained >= 0.5 else 0.0
