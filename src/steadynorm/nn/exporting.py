"""What ``torch.export`` sees of a layer: the operators of torch's layer, one for one, under the name of its class.

Quantizers and compilers of other makers look for torch's batch norm in a graph, by its operators, by what goes into
them, and by the class that the graph says they are of. So what our layers add for safety's sake, the guard against
batches that are not finite, is not exported.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._torch import TorchNorm, open_scope
from .finishing import MODULES, Affine, finish, wide_affine

__all__ = ["batch_norm", "is_exporting"]

_KINDS: dict[int, type[nn.Module]] = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


def is_exporting() -> bool:
    """Tell whether ``torch.export`` is tracing; whoever builds on it, as exports to ONNX, is included."""
    return torch.compiler.is_exporting()


def batch_norm(
    layer: Any,
    x: Tensor,
    residual: Tensor | None,
    statistics: tuple[Tensor | None, Tensor | None],
    affine: Affine,
    *,
    tracked: Tensor | None = None,
    by_batch: bool,
) -> Tensor:
    """Return what the layer makes of x; by the batch, torch's operator moves the statistics itself, if there are any.

    Args:
        layer: says momentum, ε, activation.
        tracked: the count of batches, which goes up by one.
    """
    named = not torch.compiler.is_dynamo_compiling()  # with strict=True the graph says that it is of our class
    if named and layer.channel_axis == 1:
        _take_torchs_name(layer, x)
    if tracked is not None:
        tracked.add_(1)
    y = F.batch_norm(x, *statistics, *wide_affine(*affine), by_batch, layer.momentum or 0.0, layer.eps)
    if not named:
        return finish(y, residual, layer.activation)
    if residual is not None:
        with _part("residual", type(layer)):
            y = finish(y, residual, None)
    if layer.activation is not None:
        with _part("activation", MODULES[layer.activation]):
            y = finish(y, None, layer.activation)
    return y


def _take_torchs_name(layer: Any, x: Tensor) -> None:
    """Let the graph say of the rest of this call that it is of torch's batch norm for as many axes."""
    scope = open_scope()
    if scope is not None:
        scopes, key = scope
        path, kind = scopes[key]
        if isinstance(layer, kind):  # not so if the layer is no part of the model that is exported
            scopes[key] = path, _KINDS[x.dim()]


@contextmanager
def _part(name: str, kind: type[nn.Module]) -> Iterator[None]:
    """Let the graph say of this block that it is of a part of the layer, which the layer does not have as a module."""
    scope = open_scope()
    if scope is None or not issubclass(scope[0][scope[1]][1], TorchNorm):
        yield
        return
    scopes, key = scope
    module, at, call = key.partition("@")  # behind the @ is which of the module's calls this is
    inner = f"{module}.{name}{at}{call}"
    scopes[inner] = f"{scopes[key][0]}.{name}", kind
    try:
        yield
    finally:
        del scopes[inner]
