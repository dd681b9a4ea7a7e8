"""A batch norm over the second axis, right behind a linear layer, whose features are on the last.

Of (N, L, C) with L = C nothing raises: each position is normalized as if it were a feature. Seen by the tensor itself:
it is the very output of the linear layer, of three axes or more.
"""

from collections.abc import Iterator

from ..finding import Finding
from ..rule import Case

NEEDS = ("evidence",)


def check(case: Case) -> Iterator[Finding]:
    """Look at whose output the layers are given."""
    assert case.evidence is not None
    names = {layer.module: layer for layer in case.layers}
    paths = {module: name for name, module in case.root.named_modules()}
    for norm, (linear, sizes) in case.evidence.wiring.features_last.items():
        layer = names[norm]
        if layer.is_batch_norm and layer.channel_axis == 1:
            numbers = {"behind": paths[linear], "input": "×".join(map(str, sizes))}
            cause = "it normalizes the second axis, and the linear layer before it has its features on the last"
            fix = f"steadynorm.nn.{layer.kind}({sizes[-1]}, channel_axis=-1), or transpose its input"
            yield Finding(layer.name, "warning", numbers, cause, fix)
