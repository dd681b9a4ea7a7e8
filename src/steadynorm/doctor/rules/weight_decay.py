"""Weight decay on γ and β: it pulls γ towards 0, and with it what the layer lets through. A note, for some want it.

On weights in front of a normalization decay only sets the effective learning rate (van Laarhoven 2017,
arXiv:1706.05350); on γ and β it acts on what the network computes.
"""

from collections.abc import Iterator

from ..finding import Finding
from ..rule import Case

NEEDS = ("optimizer",)


def check(case: Case) -> Iterator[Finding]:
    """Look into the optimizer's groups."""
    assert case.optimizer is not None
    decays = {p: g.get("weight_decay", 0) for g in case.optimizer.param_groups for p in g["params"]}
    for layer in case.layers:
        decay = max((float(decays.get(p, 0)) for p in layer.module.parameters(recurse=False)), default=0.0)
        if decay:
            cause = "the optimizer decays its γ and β"
            yield Finding(layer.name, "note", {"weight decay": decay}, cause, f"sn.parameter_groups(model, {decay:g})")
