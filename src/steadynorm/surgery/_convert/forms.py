"""What a batch norm can become: a layer of another kind with the same sizes, settings and state."""

import copy
import inspect
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ..._torch import buffers_of, parameters_of
from ...errors import ArgumentError
from ...nn.catalogue import CATALOGUE
from ...nn.complex import ComplexBatchNormBase
from ...nn.domain import DomainBatchNormBase, active_domain
from ...nn.finishing import MODULES
from ...nn.statistics import WideStatistics
from ...nn.sync import OF_EXCHANGE, SyncBatchNorm
from ..change import Left
from ..foreign import foreign
from ..layers import OURS, SYNCHRONIZING, TORCH, Layer
from .twins import twin_of

__all__ = ["Form", "checked", "form_of", "names", "why_not_convertible"]

INSTANCE = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
PLACE = ("device", "dtype")
MOST_GROUPS = 32  # Wu & He 2018, arXiv:1803.08494


@dataclass(frozen=True)
class Form:
    """A new module, and what the old one had that it has no place for, and the other way round."""

    module: nn.Module
    lost: tuple[str, ...]
    fresh: tuple[str, ...]
    label: str
    """For a report; the module itself is used up when another takes its content."""


def names() -> tuple[str, ...]:
    """Return every name of a form: torch's, and a row each of the catalogue."""
    return ("torch", "group", "layer", "instance", "rms", *(method.name for method in CATALOGUE))


def form_of(layer: Layer, to: str, options: Mapping[str, Any], shapes: set[torch.Size] | None = None) -> Form:
    """Return what a batch norm becomes under a name; itself it is not changed, but shares its tensors with the form.

    Args:
        to: one of :func:`names`.
        options: for the constructor of the new layer, instead of what the old one has.
        shapes: those that its inputs were seen to have; None: nobody looked.

    Raises: Left; ArgumentError for options that the constructor refuses.
    """
    if isinstance(layer.module, DomainBatchNormBase):
        return _of_one_domain(layer.module, to, options, shapes)
    if isinstance(layer.module, ComplexBatchNormBase) != (to == "complex"):
        raise Left("complex features are not normalized as real ones are, nor the other way round")
    twin = twin_of(layer)
    if twin is not None:
        settled = to == "batch" and not options
        fresh = tuple(twin.state_dict().keys() - layer.module.state_dict().keys())
        return Form(twin, (), fresh, repr(twin)) if settled else form_of(Layer(twin), to, options, shapes)
    if to == "torch" and layer.activation is not None:
        return _with_activation_behind(layer, options, shapes)
    c = layer.features
    settings: dict[str, Any] = {}
    flat = layer.dimensions in (1, None) if shapes is None else any(len(shape) == 2 for shape in shapes)
    point = flat if shapes is None else any(shape[2:].numel() == 1 for shape in shapes)
    single = False
    if to == "group":
        kind: type[nn.Module] = nn.GroupNorm
        settings = {"num_groups": _groups(c, options.get("num_groups")), "num_channels": c}
        single = point and c == settings["num_groups"]
    elif to == "layer":  # over all features and positions, whatever the image's size, scaled a feature at a time
        kind, settings = nn.GroupNorm, {"num_groups": 1, "num_channels": c}
        single = point and c == 1
    elif to == "instance":
        kind, settings = _by_dimension(INSTANCE, layer, to), {"track_running_stats": False}
        single = point or flat  # which instance norm would take for one example without a batch
    elif to == "rms":
        kind, settings = nn.RMSNorm, {"normalized_shape": c}
        if shapes is None or any(len(shape) != 2 for shape in shapes):
            raise Left("RMS norm works on the last axis, so only (N, C) input suits: give batches, to have it seen")
    elif to == "torch":
        kind = _by_dimension(TORCH, layer, to)
    else:
        kind = _by_dimension(next(m for m in CATALOGUE if m.name == to).layers, layer, to)
    if single:
        has = "may have" if shapes is None else "has"
        raise Left(f"its input {has} one position, and one value a group is its own mean: nothing of it would be left")
    form = _built(layer.module, kind, settings | dict(options), options, c)
    if isinstance(form.module, SyncBatchNorm):  # for any number of dimensions: there is a way back all the same
        plain = {"class": _by_dimension(OURS, layer, to)}
        vars(form.module)[SYNCHRONIZING] = vars(layer.module).get(SYNCHRONIZING, plain)
    return form


def _with_activation_behind(layer: Layer, options: Mapping[str, Any], shapes: set[torch.Size] | None) -> Form:
    """Return torch's layer, and torch's module of the activation after it."""
    alone = copy.copy(layer.module)
    alone.activation = None
    form = form_of(Layer(alone), "torch", options, shapes)
    both = nn.Sequential(form.module, MODULES[str(layer.activation)]())
    return Form(both, form.lost, tuple(both.state_dict()), f"{form.label} and {both[1]!r}")


def _of_one_domain(
    module: DomainBatchNormBase, to: str, options: Mapping[str, Any], shapes: set[torch.Size] | None
) -> Form:
    """Return what the active domain's layer becomes, which for the kind that it has already is itself."""
    chosen = active_domain()
    if not isinstance(chosen, str) or chosen not in module.domains:
        raise Left(f"has the domains {', '.join(module.domains)}: choose one by steadynorm.nn.domain")
    part = module.domains[chosen]
    settled = to == "batch" and not options
    form = Form(copy.copy(part), (), (), repr(part)) if settled else form_of(Layer(part), to, options, shapes)
    prefix = f"domain_{chosen}."
    lost = [key for key in module.state_dict() if not key.startswith(prefix)]
    return replace(form, lost=(*lost, *form.lost))


def words(kind: type) -> dict[str, Any]:
    """Return what the constructors of a class and of its bases take to say what a layer is, with the defaults.

    A user's subclass may take other ones, and passes on what its base takes.
    """
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__[: kind.__mro__.index(nn.Module)]):
        found |= {name: argument.default for name, argument in inspect.signature(base).parameters.items()}
    return {name: default for name, default in found.items() if name not in PLACE}


def why_not_convertible(layer: Layer) -> str | None:
    """Say why a layer cannot take another form by name; None if it can."""
    if foreign(layer.module) is not None:
        return layer.why_unready or layer.why_held
    if not layer.is_batch_norm and layer.dimensions is None:
        return "is no batch norm: give a function to convert it"
    return layer.why_unready or layer.why_held or layer.why_not_another


def checked(new: Any, layer: Layer) -> Form:
    """Return what a user's function gave for a layer as its form."""
    if not isinstance(new, nn.Module):
        raise ArgumentError(
            f"the function must return a module, received {type(new).__name__} for {layer.name}: to leave a layer as "
            "it is, return it"
        )
    if new is layer.module:
        raise Left("the function returned it as it is")
    if any(part is layer.module for part in new.modules()):
        raise ArgumentError(
            f"what the function returns for {layer.name} takes the layer's place and cannot contain it: put a "
            "copy.copy of the layer into it"
        )
    before, after = layer.module.state_dict(), new.state_dict()
    lost, fresh = [k for k in before if k not in after], [k for k in after if k not in before]
    return Form(new, tuple(lost), tuple(fresh), type(new).__name__)


def _by_dimension(family: Mapping[int, type[nn.Module]], layer: Layer, to: str) -> type[nn.Module]:
    if layer.dimensions is None:
        raise Left(f"{layer.kind} does not say for how many dimensions it is, and {to!r} needs to know")
    return family[layer.dimensions]


def _groups(c: int, given: int | None) -> int:
    if given is not None:
        if given < 1 or c % given:
            raise Left(f"{c} features cannot be cut into {given} groups of equal size")
        return given
    groups = math.gcd(MOST_GROUPS, c)
    return groups // 2 if groups == c > 1 else groups  # two features a group at least


def _built(
    module: Any, kind: type[nn.Module], settings: dict[str, Any], options: Mapping[str, Any], features: int
) -> Form:
    asked = inspect.signature(kind).parameters.keys() - {*PLACE}
    unknown = options.keys() - asked
    if unknown:
        raise ArgumentError(f"options must be among {', '.join(sorted(asked))}; received {', '.join(sorted(unknown))}")
    carried = {name: getattr(module, name) for name in asked - settings.keys() - {"bias"} if hasattr(module, name)}
    if "num_features" in carried:  # pruning cuts tensors, and may leave the number
        carried["num_features"] = features
    # The constructor lays out what the layer has now, whatever its flags say: torch lets these be changed afterwards.
    layout = {"affine": module.weight is not None, "track_running_stats": module.running_mean is not None}
    layout["bias"] = module.bias is not None or module.weight is None
    settings = carried | {name: has for name, has in layout.items() if name in asked} | settings
    tensors = [v for v in (*module.parameters(), *module.buffers()) if v.is_floating_point()]
    place = {"device": tensors[0].device, "dtype": tensors[0].dtype} if tensors else {}
    try:
        form = kind(**settings, **place)
    except TypeError as error:
        raise ArgumentError(f"{kind.__name__} cannot be made of {settings}: {error}") from error
    # What users have hung on the layer stays, too.
    own = vars(module).keys() - vars(form).keys() - words(type(module)).keys() - {SYNCHRONIZING, *OF_EXCHANGE}
    vars(form).update({name: vars(module)[name] for name in own})
    for name, value in carried.items():
        setattr(form, name, value)
    if type(form) is type(module) and not options:
        raise Left("is one already")
    fresh, left = _take_state(module, form)
    return Form(form, _lost(module, left, asked), fresh, repr(form))


def _take_state(module: Any, form: nn.Module) -> tuple[tuple[str, ...], list[str]]:
    """Give the form what it has a place for; return the names of what it has besides, and of what it left.

    Tensors that both have are shared. A form that keeps statistics otherwise takes them as it would a checkpoint.
    """
    taken = []
    stores: Any = ((table_of(form), table_of(module)) for table_of in (parameters_of, buffers_of))
    for own, theirs in stores:
        for name, value in own.items():
            other = theirs.get(name)
            if value is not None and other is not None and value.shape == other.shape:
                own[name] = other
                taken.append(name)
    if isinstance(form, WideStatistics):
        form.widen_statistics()
    fresh = [name for name in form.state_dict() if name not in taken]
    if fresh:
        plain = getattr(module, "plain_state", module.state_dict)()  # what keeps other statistics says them as ours
        result = form.load_state_dict(plain, strict=False)
        parameters = dict(form.named_parameters())  # copies, which an optimizer does not know yet
        fresh = [name for name in fresh if name in result.missing_keys or name in parameters]
        taken += [name for name in plain if name not in result.unexpected_keys]
    return tuple(fresh), [name for name in module.state_dict() if name not in taken and name not in form.state_dict()]


def _lost(module: nn.Module, left: list[str], asked: Iterable[str]) -> tuple[str, ...]:
    if getattr(module, "activation", None) is not None and "activation" not in asked:
        raise Left(f"its activation, {module.activation}, would be lost")
    if getattr(module, "channel_axis", 1) != 1 and "channel_axis" not in asked:
        raise Left("its features are the last axis, which the new kind does not take")
    settings = [
        f"{name}={getattr(module, name)}"
        for name, default in words(type(module)).items()
        if name not in (*asked, "num_features", "bias", "activation")
        and hasattr(module, name)
        and getattr(module, name) != default
    ]
    return tuple(left + settings)
