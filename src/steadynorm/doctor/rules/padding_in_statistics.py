"""Padding that enters the statistics: sequences or images of different sizes, filled up to one.

The filling is told by what it is: behind each example's own end all features hold the values of the last position, and
the ends differ. In sequences (N, C, L) on the right; in images on the right or below, and only where nothing like it is
on the other side, for a dark border on both sides is part of the picture. It matters from a tenth of all positions on:
the means are then off by a tenth of their distance from the filling. Layers that are given a mask do without it.
"""

from collections.abc import Iterator

from torch import Tensor

from ..finding import Finding
from ..rule import Case

NEEDS = ("evidence",)

SHARE = 0.1


def check(case: Case) -> Iterator[Finding]:
    """Look at the first batch, as the model gets it."""
    evidence = case.evidence
    assert evidence is not None
    first = next((v for v in evidence.seen.values() if v.layer in case.moving), None)
    if first is None or first.masked:
        return
    for x in evidence.first_inputs:
        for axis in range(2, x.dim()) if len(x) > 1 else ():
            behind, before = _constant(x, axis), _constant(x.flip(axis), axis)
            share = float(behind.mean()) / x.shape[axis]
            if share >= SHARE and float(before.mean()) < float(behind.mean()) / 4 and bool((behind != behind[0]).any()):
                yield Finding(
                    first.layer.name,
                    "warning",
                    {"share of padding": share, "axis": axis},
                    "examples of different sizes are padded to one, and the padding enters the statistics",
                    "layer(x, mask=mask) with layers of ours: sn.convert_(model, 'batch')",
                )
                return


def _constant(x: Tensor, axis: int) -> Tensor:
    """Return for each example how many positions at the end of an axis repeat the last one; 0 for that one alone."""
    lines = x.movedim(axis, -1).flatten(1, -2)  # (N, all else, L)
    same = (lines == lines[..., -1:]).all(1).flip(-1)
    run = same.long().cumprod(-1).sum(-1).double()
    return run * (run > 1)
