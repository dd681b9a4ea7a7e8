"""Batches of one value a feature, normalized by the running statistics instead of refused."""

from torch import nn

from .layers import Where
from .setting import Setting

__all__ = ["single_values"]


def single_values(model: nn.Module, *, where: Where | None = None) -> Setting:
    """Let batch norms in training take a batch of one value a feature, as evaluation would, and not count it.

    One value is its own mean: nothing would be left of it, so batch norm refuses it. Where such batches cannot be
    helped (an image-level branch on one image, the last batch of an epoch), here they are normalized by the running
    statistics, which stay as they are. Other batches are normalized as ever. It holds from the call on, until the end
    of a ``with`` block or ``remove()``; for a layer of ours for good: ``BatchNorm2d(64, single_value="running")``.

    Until some larger batches have been seen the running statistics are mean 0 and variance 1, and single values pass
    as they are.

    Args:
        model: any model; the layer itself, too. Layers of torch have our class for as long as it holds.
        where: ``where(name, module) -> bool`` selects layers, or a pattern such as ``"backbone.*"``, or several.

    Returns: the setting, with ``report`` (which layers, and why not the others) and ``remove()``.

    Raises: ArgumentError if it is no module.
    """
    return Setting(model, "_single_by_running", where)
