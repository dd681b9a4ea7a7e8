"""An activation that was part of a layer, and that a converter has dropped.

`torch.nn.SyncBatchNorm.convert_sync_batchnorm` and others rebuild any subclass of torch's batch norm as a plain layer.
Compared by name with the reference model: its layer has an activation inside (`activation` or `act`), this one has not.
"""

from collections.abc import Iterator
from typing import Any

from torch import nn

from ...surgery.layers import layers_of, uncompiled
from ..finding import Finding
from ..rule import Case

NEEDS = ("reference",)


def check(case: Case) -> Iterator[Finding]:
    """Compare layer by layer."""
    assert case.reference is not None
    theirs = {layer.names[0]: layer.module for layer in layers_of(uncompiled(case.reference))}
    for layer in case.layers:
        should = _activation(theirs.get(layer.names[0]))
        if should is not None and _activation(layer.module) is None:
            cause = "its activation is gone: a converter has rebuilt it as a plain layer"
            fix = "convert the model anew with sn.synchronize_(model), which keeps activations"
            yield Finding(layer.name, "error", {"activation": should, "class": layer.kind}, cause, fix)


def _activation(module: Any) -> str | None:
    """Return the name of what follows inside of a layer."""
    own = getattr(module, "activation", None)
    act = getattr(module, "act", None)
    if isinstance(act, nn.Module) and not isinstance(act, nn.Identity):
        return type(act).__name__
    return own if isinstance(own, str) else None
