"""Two normalizations in a row: the second is given the very output of the first, through nothing but identities.

The first one's γ and β are undone by the second. Seen by the tensor itself: it is the same object, not written to.
"""

from collections.abc import Iterator

from ...surgery.layers import is_normalization
from ..finding import Finding
from ..rule import Case

NEEDS = ("evidence",)


def check(case: Case) -> Iterator[Finding]:
    """Look at who follows whom."""
    assert case.evidence is not None
    names = {layer.module: layer for layer in case.layers}
    for second, first in case.evidence.wiring.follows.items():
        if is_normalization(second) and names[first].activation is None:
            cause = "it normalizes what was just normalized"
            fix = f"take one of the two out: {names[first].name} = nn.Identity()"
            yield Finding(names[second].name, "warning", {"after": names[first].name}, cause, fix)
