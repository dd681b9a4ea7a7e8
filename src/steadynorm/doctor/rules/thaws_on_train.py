"""A layer held in evaluation by hand inside a model that trains: the next `model.train()` thaws it.

Every trainer calls that before each epoch. :func:`steadynorm.freeze_` survives it.
"""

from collections.abc import Iterator

from ..finding import Finding
from ..rule import Case

SUPERSEDES = ("frozen-looking",)


def check(case: Case) -> Iterator[Finding]:
    """Compare modes."""
    for layer in case.batch_norms if case.root.training else ():
        if not layer.module.training and layer.statistics is not None and not layer.why_held:
            cause = "it is in evaluation while the model trains, until somebody calls model.train()"
            fix = f"sn.freeze_(model, where=lambda name, _: name == {layer.names[0]!r})"
            yield Finding(layer.name, "warning", {"training": False}, cause, fix)
