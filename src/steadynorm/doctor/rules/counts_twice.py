"""Activation checkpointing that counts every batch twice: the recomputation in backward moves the statistics again.

Seen in one training step on a copy of the model, by the counter. The momentum is then in effect 1 − (1−m)². Layers of
ours know a recomputation.
"""

from collections.abc import Iterator

from ..finding import Finding
from ..rule import Case

NEEDS = ("step",)


def check(case: Case) -> Iterator[Finding]:
    """Compare the counter with the calls."""
    assert case.step is not None
    for layer in case.batch_norms:
        calls, counted = case.step.calls.get(layer.module, 0), case.step.counted.get(layer.module, 0)
        if calls and counted > calls:
            numbers = {"uses a step": calls, "counted": counted}
            cause = "activation checkpointing runs it again in backward, which moves its statistics again"
            yield Finding(layer.name, "warning", numbers, cause, "sn.convert_(model, 'batch')")
