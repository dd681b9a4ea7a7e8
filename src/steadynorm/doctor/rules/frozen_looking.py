"""A layer that looks frozen and is not: γ and β require no gradient, its statistics still move in training.

`requires_grad=False` holds parameters; running statistics are buffers. A finding where other parameters of the model
are trained. :func:`steadynorm.freeze_` holds both.
"""

from collections.abc import Iterator

from ...surgery.layers import is_normalization
from ..finding import Finding
from ..rule import Case


def check(case: Case) -> Iterator[Finding]:
    """Ask every layer whose statistics move."""
    others = (m for m in case.root.modules() if not is_normalization(m))
    trained = any(p.requires_grad for m in others for p in m.parameters(recurse=False))
    for layer in case.moving if trained else ():
        own = list(layer.module.parameters(recurse=False))
        if own and not any(p.requires_grad for p in own) and layer.module.momentum != 0:
            cause = "its γ and β require no gradient, but training still moves its running statistics"
            fix = f"sn.freeze_(model, affine=True, where=lambda name, _: name == {layer.names[0]!r})"
            yield Finding(layer.name, "warning", {"momentum": layer.module.momentum}, cause, fix)
