"""A bias that the batch norm behind it takes away: in training the batch's mean holds it, so that its gradient is 0.

Which biases those are is established as by :func:`steadynorm.drop_redundant_biases_`, by following the data through the
model. A note: it costs memory and nothing else.
"""

from collections.abc import Iterator

from ..finding import Finding
from ..rule import Case

NEEDS = ("biases",)


def check(case: Case) -> Iterator[Finding]:
    """Report what was traced."""
    held = {layer.name for layer in case.layers if not layer.is_batch_norm or case.holds(layer)}
    for name, norms in (case.biases or {}).items():
        if held & set(norms):  # by constant statistics a bias is no different from β
            continue
        cause = "the batch norm behind it cancels it: its gradient is 0"
        fix = "sn.drop_redundant_biases_(model, batch)"
        yield Finding(name, "note", {"cancelled by": ", ".join(norms)}, cause, fix)
