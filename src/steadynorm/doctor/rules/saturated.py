"""Sigmoid or tanh whose inputs are so large that no gradient comes through.

The share of the values where the slope is below a twentieth of the largest (|x| > 4.4 for sigmoid, 2.2 for tanh), in
the first batch; a warning from half of them on. Gates that scale whole features or positions are left out, and the last
activation of a model, whose outputs are meant to be sure.
"""

from collections.abc import Iterator

from ..finding import Finding
from ..rule import Case

NEEDS = ("evidence",)


def check(case: Case) -> Iterator[Finding]:
    """Report the shares."""
    assert case.evidence is not None
    wiring = case.evidence.wiring
    names = {module: name for name, module in case.root.named_modules()}
    for module, share in wiring.saturated.items():
        if share > 0.5 and not wiring.is_last(module):
            norm = wiring.follows.get(module)
            cause = "most of its inputs are where it is flat, so that no gradient comes through"
            fix = "a batch norm before it" if norm is None else f"a smaller γ in {names[norm]}"
            yield Finding(names[module], "warning", {"share beyond the slope": share}, cause, fix)
