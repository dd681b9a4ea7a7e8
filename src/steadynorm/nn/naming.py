"""The name of a layer in its model, for messages: a layer itself does not know it."""

import sys
from types import FrameType

from torch.nn import Module

__all__ = ["describe"]


def describe(layer: Module) -> str:
    """Return ``'block1.bn2' (BatchNorm2d(64, …))``: the name in the outermost model whose forward is running.

    The running models are found on the call stack, so that nothing has to be stored in the layer; this is for the way
    to an error, and takes the time that a walk through the model takes.
    """
    name = ""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, Module):
            name = next((path for path, module in owner.named_modules() if module is layer), "") or name
        frame = frame.f_back
    return f"{name!r} ({layer!r})" if name else repr(layer)
