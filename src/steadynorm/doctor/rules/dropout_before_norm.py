"""Dropout before batch norm: training's variance has the dropout in it, evaluation's has not.

The deviation that a layer is given with dropout and without, on the same batches, in the median feature; a warning from
a tenth on, which dropout of p = 0.2 gives a batch norm behind it. The running statistics are right, and yet evaluation
is scaled down. Reference: Li et al. 2019, *Understanding the Disharmony between Dropout and Batch Normalization by
Variance Shift* (arXiv:1801.05134).
"""

from collections.abc import Iterator

from ..finding import Finding
from ..rule import Case
from .dead_channels import varies

NEEDS = ("evidence",)

SHIFT = 1.1


def check(case: Case) -> Iterator[Finding]:
    """Compare the two runs."""
    assert case.evidence is not None
    for layer in case.batch_norms:
        dropped, whole = (v.get(layer.module) for v in (case.evidence.seen, case.evidence.without_dropout))
        if dropped is None or whole is None or not (dropped.rows and whole.rows):
            continue
        living = varies(whole.pooled.mean, whole.pooled.var)
        ratio = float((dropped.pooled.var / whole.pooled.var)[living].sqrt().median())
        if ratio > SHIFT:
            cause = "dropout before it raises the variance in training, and is gone in evaluation"
            fix = "put the dropout behind the last batch norm"
            yield Finding(layer.name, "warning", {"deviation, with over without": ratio}, cause, fix)
