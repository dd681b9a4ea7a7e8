"""The register of other makers' layers: how one is told, and what it does after normalizing. No maker is imported."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..errors import ArgumentError
from ..nn.base import NormBase

__all__ = ["Foreign", "foreign", "register"]

PARTS = ("weight", "bias", "running_mean", "running_var", "eps")


@dataclass(frozen=True)
class Foreign:
    """What is known of a class: batch normalization of so many dimensions, then some modules."""

    dimensions: int
    constant: bool
    after: Callable[[Any], Sequence[nn.Module]]


_register: dict[type[nn.Module] | str, Foreign] = {}


def register(
    cls: type[nn.Module] | str,
    *,
    after: Callable[[Any], Sequence[nn.Module]] = lambda layer: (),
    constant: bool = False,
    dimensions: int = 2,
) -> None:
    r"""Say of a foreign class that it is a batch norm, so that :func:`steadynorm.convert_` takes it.

    .. math:: y = a_k(\ldots a_1(\mathrm{BN}(x)))

    It must have the parts of a batch norm by torch's names: ``weight``, ``bias``, ``running_mean``, ``running_var``,
    ``eps``. What is said is not trusted: a layer is taken only if it gives, on random input in training and in
    evaluation, what the description gives, and moves its statistics alike.

    Known already are timm's ``BatchNormAct2d`` and ``FrozenBatchNormAct2d``, ``FrozenBatchNorm2d`` of torchvision
    and detectron2, and ``ABN`` of inplace_abn.

    Args:
        cls: the class, with its subclasses; or the name of a class, of any package.
        after: a function of the layer that returns the modules that follow the normalization, :math:`a_1 \ldots a_k`.
        constant: whether its statistics are constant in training, too.
        dimensions: of its positions, 1, 2 or 3.

    Raises: ArgumentError.
    """
    if not (isinstance(cls, str) or (isinstance(cls, type) and issubclass(cls, nn.Module))):
        raise ArgumentError(f"cls must be a class of modules or its name, received {cls!r}")
    if dimensions not in (1, 2, 3):
        raise ArgumentError(f"dimensions must be 1, 2 or 3, received {dimensions}")
    if not callable(after):
        raise ArgumentError(f"after must be a function of the layer, received {after!r}")
    _register[cls] = Foreign(dimensions, constant, after)


def foreign(module: nn.Module) -> Foreign | None:
    """Return what the register says of a layer's class; None if nothing, or parts of a batch norm are missing."""
    kinds = type(module).__mro__
    known = [_register[kind] for kind in (*kinds, kinds[0].__name__) if kind in _register]
    ours = isinstance(module, NormBase)  # the class first: to ask for a weight that is computed computes it
    return known[0] if known and not ours and all(getattr(module, name, None) is not None for name in PARTS) else None


def _drop_and_act(layer: Any) -> list[nn.Module]:
    return [part for name in ("drop", "act") if (part := getattr(layer, name, None)) is not None]


def _abn(layer: Any) -> list[nn.Module]:
    kinds: dict[str, Callable[[], nn.Module]] = {
        "identity": nn.Identity,
        "relu": nn.ReLU,
        "leaky_relu": lambda: nn.LeakyReLU(layer.activation_param),
        "elu": lambda: nn.ELU(layer.activation_param),
    }
    return [kinds[layer.activation]()]


register("BatchNormAct2d", after=_drop_and_act)
register("SyncBatchNormAct", after=_drop_and_act)
register("FrozenBatchNormAct2d", after=_drop_and_act, constant=True)
register("FrozenBatchNorm2d", constant=True)
register("ABN", after=_abn)
