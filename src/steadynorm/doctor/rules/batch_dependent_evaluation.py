"""A batch norm without running statistics: in evaluation, too, an output depends on what else is in its batch."""

from collections.abc import Iterator

from ..finding import Finding
from ..rule import Case


def check(case: Case) -> Iterator[Finding]:
    """Look for the buffers."""
    for layer in case.batch_norms:
        if not any(name.startswith("running_") for name in layer.kept):
            cause = "track_running_stats is False, so that evaluation uses the batch's own statistics"
            fix = "build it with track_running_stats=True, then sn.recalibrate_(model, batches)"
            yield Finding(layer.name, "warning", {"running statistics": 0}, cause, fix)
