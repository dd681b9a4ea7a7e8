"""The normalization layers of a model: all of them, once each, with every name they have. Each answers for itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import is_lazy
from torch.optim.swa_utils import AveragedModel

from .._torch import TorchBatchNorm, TorchNorm, buffers_of, unwrapped
from ..errors import ArgumentError
from ..nn.base import NormBase
from ..nn.batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d, BatchNormBase
from ..nn.catalogue import CATALOGUE
from ..nn.frozen import FrozenBatchNormBase
from ..nn.lp import LpBatchNormBase
from ..nn.sync import SyncBatchNorm
from ..nn.virtual import VirtualBatchNormBase
from .foreign import foreign

__all__ = [
    "COUNT",
    "FREEZING",
    "OURS",
    "PAUSED",
    "SYNCHRONIZING",
    "TORCH",
    "Layer",
    "Where",
    "bare",
    "is_normalization",
    "layers_of",
    "uncompiled",
]

Where = Callable[[str, nn.Module], bool] | str | Sequence[str]

NORMALIZATIONS = (TorchNorm, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.LocalResponseNorm, nn.CrossMapLRN2d)
WRAPPERS = (DataParallel, DistributedDataParallel, AveragedModel)
COUNT = "num_batches_tracked"
TORCH = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
OURS = {1: BatchNorm1d, 2: BatchNorm2d, 3: BatchNorm3d}

# What tools remember. The first two are attributes of the layer: what the inverse of freeze_ and of synchronize_ gives
# back. Pauses of torch's layers are not, so that copies are not paused.
FREEZING = "_before_freezing"
SYNCHRONIZING = "_before_synchronizing"
PAUSED: WeakKeyDictionary[nn.Module, Any] = WeakKeyDictionary()


def is_normalization(module: nn.Module) -> bool:
    """Whether a module normalizes: torch's kinds, frozen batch norms of any package, and what is registered."""
    named = "FrozenBatchNorm" in type(module).__name__
    return isinstance(module, NORMALIZATIONS) or named or foreign(module) is not None


@dataclass(frozen=True)
class Layer:
    """A layer, where it is, and what a tool may do with it: every ``why_…`` is a reason not to, or None."""

    module: Any
    """A ``torch.nn.Module``; which attributes it has is what the layer is asked for."""
    names: tuple[str, ...] = ("",)
    """Every path to it, in the order of the model; the model itself is ``""``."""

    @property
    def name(self) -> str:
        """Its first name, as a report shows it."""
        return self.names[0] or "(the model)"

    @property
    def label(self) -> str:
        """Its names for a report: the first, and how many more there are."""
        return self.name + (f" (also {', '.join(self.names[1:])})" if len(self.names) > 1 else "")

    @property
    def kind(self) -> str:
        """The name of its class."""
        return type(self.module).__name__

    # --- what it is ---------------------------------------------------------------------------------------------------

    @property
    def is_batch_norm(self) -> bool:
        """Whether it is torch's batch norm, ours, synchronized, or a user's subclass; a frozen one is none."""
        return isinstance(self.module, TorchBatchNorm)

    @property
    def is_frozen(self) -> bool:
        """Whether its statistics are constant in every mode: ours, or a ``FrozenBatchNorm`` of any package."""
        ours = isinstance(self.module, FrozenBatchNormBase)
        return ours or ("FrozenBatchNorm" in self.kind and not self.is_batch_norm)

    @property
    def is_synchronized(self) -> bool:
        """Whether it is one of ours that shares its batch with other processes."""
        return isinstance(self.module, SyncBatchNorm)

    @property
    def is_paused(self) -> bool:
        """Whether it is in a block of :func:`steadynorm.paused_statistics`."""
        return self.module in PAUSED or getattr(self.module, "_pauses", 0) > 0

    @property
    def is_by_batch(self) -> bool:
        """Whether it is in a setting of :func:`steadynorm.batch_statistics`."""
        return getattr(self.module, "_by_batch", 0) > 0

    @property
    def takes_single_values(self) -> bool:
        """Whether a batch of one value a feature is no error in training."""
        return isinstance(self.module, NormBase) and self.module._takes_single_values()

    @property
    def channel_axis(self) -> int:
        """Where its features are: 1, or -1."""
        return getattr(self.module, "channel_axis", 1)

    @property
    def activation(self) -> str | None:
        """What follows inside of it."""
        return getattr(self.module, "activation", None)

    @property
    def after(self) -> list[nn.Module]:
        """The modules that follow inside of it, if it is another maker's."""
        known = foreign(self.module)
        return [] if known is None else [part for part in known.after(self.module) if type(part) is not nn.Identity]

    @property
    def statistics(self) -> tuple[Tensor, Tensor] | None:
        """Running mean and variance, if it keeps both."""
        mean, var = (getattr(self.module, name, None) for name in ("running_mean", "running_var"))
        return None if mean is None or var is None else (mean, var)

    @property
    def features(self) -> int:
        """How many it has by its tensors, or else by what it was made with."""
        sizes = (getattr(self.module, name, None) for name in ("running_mean", "weight"))
        return next((len(v) for v in sizes if v is not None), self.module.num_features)

    @property
    def kept(self) -> dict[str, Tensor]:
        """All of its running statistics, whatever its method averages, and its counter, by name."""
        own = self.module.named_buffers(recurse=False)
        return {name: v.detach() for name, v in own if name.startswith("running_") or name == COUNT}

    @property
    def base(self) -> type[nn.Module]:
        """The class of torch or of ours that it is, or that its own class is made from."""
        return next(b for b in type(self.module).__mro__ if b.__module__.split(".")[0] in ("torch", "steadynorm"))

    @property
    def dimensions(self) -> int | None:
        """For how many spatial dimensions it is; None if its class does not say, as a synchronized one's."""
        remembered = vars(self.module).get(SYNCHRONIZING)
        kind = type(self.module) if remembered is None else remembered["class"]
        families: list[Mapping[int, type[nn.Module]]] = [TORCH, *(method.layers for method in CATALOGUE)]
        found = {d for family in families for d, one in family.items() if issubclass(kind, one)}
        return found.pop() if len(found) == 1 else None

    def computes(self, *methods: str) -> bool:
        """Whether it computes what torch's batch norm or ours does; ``methods`` are those of ours that must be."""
        if isinstance(self.module, BatchNormBase):
            plain = not any(map(self._has_own, ("forward", *methods)))
        else:
            plain = type(self.module).forward in (TorchBatchNorm.forward, nn.SyncBatchNorm.forward)
        return plain and "forward" not in vars(self.module)

    # --- why not ------------------------------------------------------------------------------------------------------

    @property
    def why_unready(self) -> str | None:
        """It has no values yet."""
        lazy = any(is_lazy(v) for v in (*self.module.parameters(), *self.module.buffers()))
        return "not initialized yet: run the model once" if lazy else None

    @property
    def why_no_batch_norm(self) -> str | None:
        """It takes no statistics over examples."""
        return None if self.is_batch_norm else "is no batch norm"

    @property
    def why_held(self) -> str | None:
        """It has been frozen, in whole or in part."""
        return "is frozen: unfreeze_ it first" if FREEZING in vars(self.module) else None

    @property
    def why_constant(self) -> str | None:
        """Its statistics are to stay what they are."""
        return "is frozen" if self.why_held or self.is_frozen else None

    @property
    def why_no_statistics(self) -> str | None:
        """There is no mean and variance to work with."""
        return "keeps no running statistics" if self.statistics is None else None

    @property
    def why_no_variances(self) -> str | None:
        """What it keeps besides the mean is something else."""
        if "running_cov" in buffers_of(self.module):
            return f"{self.kind} keeps a covariance, not variances"
        if isinstance(self.module, VirtualBatchNormBase):
            return f"{self.kind} keeps the statistics of its reference batch, not of the data"
        if isinstance(self.module, LpBatchNormBase) and not (self.module.p == 2 and self.module.centred):
            return f"{self.kind} keeps norms, not variances"
        return None

    @property
    def why_not_by_moments(self) -> str | None:
        """In training it normalizes its batch otherwise."""
        how = "the mean and the variance of the batch"
        return f"{self.kind} normalizes otherwise than by {how}" if self._has_own("_normalize_by_batch") else None

    @property
    def why_not_affine(self) -> str | None:
        """By its running statistics it is no affine map of each feature."""
        how = "a mean and a variance a feature"
        return f"{self.kind} normalizes otherwise than by {how}" if self._has_own("_normalize_by_running") else None

    @property
    def why_not_another(self) -> str | None:
        """It cannot be given another class that does what its base does: its class, or the instance, does otherwise.

        A user's subclass that overrides ``forward`` is kept as it is: nobody else knows what it does.
        """
        if type(self.module).forward is not self.base.forward or "forward" in vars(self.module):
            way = ': convert_(model, "batch") first' if foreign(self.module) is not None else ""
            return f"{self.kind} overrides forward{way}"
        if self.is_by_batch or getattr(self.module, "_single_by_running", 0) > 0:
            return "is in a setting of batch_statistics or single_values: remove it first"
        return "is in a block of paused_statistics" if self.is_paused else None

    def _has_own(self, method: str) -> bool:
        """Whether one of ours does not compute by our batch norm's method."""
        ours = isinstance(self.module, NormBase)
        return ours and getattr(type(self.module), method) is not getattr(BatchNormBase, method)


def uncompiled(model: nn.Module) -> nn.Module:
    """Return the module that ``torch.compile`` wraps, or the model itself: hooks on the wrapper are ignored."""
    if not isinstance(model, nn.Module):
        raise ArgumentError(f"the model must be a torch.nn.Module, received {type(model).__name__}")
    return unwrapped(model)


def bare(model: nn.Module) -> nn.Module:
    """Return the network inside of ``torch.compile``, DistributedDataParallel, DataParallel, AveragedModel."""
    inner = uncompiled(model)
    return bare(inner.module) if isinstance(inner, WRAPPERS) else inner


def layers_of(model: nn.Module, wanted: Callable[[nn.Module], bool] = is_normalization) -> list[Layer]:
    """Return every normalization layer of a model, in the model's order; a shared one once, with all its names."""
    names: dict[nn.Module, list[str]] = {}
    for name, module in uncompiled(model).named_modules(remove_duplicate=False):
        if wanted(module):
            names.setdefault(module, []).append(name.replace("_orig_mod.", ""))
    return [Layer(module, tuple(found)) for module, found in names.items()]
