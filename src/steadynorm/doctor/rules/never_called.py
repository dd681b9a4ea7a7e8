"""A normalization layer that is registered, and that no batch reached: its statistics stay as they are. A note."""

from collections.abc import Iterator

from ..finding import Finding
from ..rule import Case

NEEDS = ("evidence",)


def check(case: Case) -> Iterator[Finding]:
    """Compare those that there are with those that ran."""
    for layer in case.batch_norms:
        if case.seen(layer) is None:
            cause = "no batch reached it: it is left over, or belongs to a branch that these batches do not take"
            yield Finding(layer.name, "note", {"calls": 0}, cause, "take it out, or give batches that use it")
