"""Batch normalization with statistics for each of several domains, and the switch between them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import Tensor
from torch.fx import Proxy
from torch.nn import Module

from ..errors import ArgumentError, ModelError
from .arguments import extend_signature
from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d, BatchNormBase

__all__ = ["DomainBatchNorm1d", "DomainBatchNorm2d", "DomainBatchNorm3d", "domain"]

_active: ContextVar[str | None] = ContextVar("domain", default=None)


def active_domain() -> str | None:
    """Return the name of the innermost block's domain; None outside of all."""
    return _active.get()


@contextmanager
def domain(name: str) -> Iterator[None]:
    """In this block every :class:`DomainBatchNorm2d` (1d, 3d) uses its layer for the domain ``name``.

    Blocks nest; the innermost counts. Each thread and each asynchronous task has its own.
    """
    token = _active.set(name)
    try:
        yield
    finally:
        _active.reset(token)


class DomainBatchNormBase(Module):
    """One batch norm a domain, of which the active one is used.

    ::

        layer = DomainBatchNorm2d(64, domains=["photo", "sketch"])
        with domain("sketch"):
            y = layer(x)

    A batch that mixes domains has statistics of neither. Here each batch is of one domain, and so are the running
    statistics that it moves and that evaluation uses.

    Reference: Chang et al. 2019, *Domain-Specific Batch Normalization* (arXiv:1906.03950), with γ and β of their own;
    Li et al. 2016, *Adaptive Batch Normalization* (arXiv:1603.04779), with common ones.

    It holds plain batch norms, ``domain_photo`` and so on, so tools for batch norms (recalibration of one domain,
    freezing, pausing) reach each. The checkpoint of a plain batch norm loads into all of them. A recomputation under
    activation checkpointing needs the block as well: call ``backward`` inside it. ``torch.compile`` breaks its graph at
    each layer, and compiles anew for each domain.

    Args:
        domains: their names, one or more.
        shared_affine: one γ and β for all; by default each has its own.
        others: as of :class:`steadynorm.nn.BatchNorm2d`, for each.

    Raises: ArgumentError for names; when called ModelError if no domain is active, ArgumentError if it has none of that
    name; and what batch norm raises.
    """

    kind: type[BatchNormBase]
    """What there is one of for each domain."""

    def __init__(self, *args: Any, domains: Sequence[str], shared_affine: bool = False, **others: Any) -> None:
        super().__init__()
        repeated = len(set(domains)) < len(domains)
        if isinstance(domains, str) or not domains or repeated or any("." in name for name in domains):
            raise ArgumentError(f"domains must be different names without dots, in a list, received {domains!r}")
        self.shared_affine = shared_affine
        self._names = tuple(domains)
        for name in domains:
            self.add_module(f"domain_{name}", self.kind(*args, **others))
        self._share()
        self.register_load_state_dict_post_hook(_share_again)  # type: ignore[no-untyped-call]

    @property
    def domains(self) -> Mapping[str, Module]:
        """The layers by domain."""
        return {name: self.get_submodule(f"domain_{name}") for name in self._names}

    @property
    def active(self) -> Module:
        """The layer of the active domain."""
        name = active_domain()
        if name is None:
            raise ModelError(
                f"a domain must be active, one of {', '.join(self._names)}: call the model inside "
                'with steadynorm.nn.domain("...")'
            )
        if name not in self._names:
            raise ArgumentError(f"the domain must be one of {', '.join(self._names)}, received {name!r}")
        return self.get_submodule(f"domain_{name}")

    def forward(self, x: Tensor, residual: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Return what the active domain's layer makes of x; arguments as there."""
        if isinstance(x, Proxy):  # traced as a whole: the domain is chosen when it runs
            return x.tracer.create_proxy("call_module", x.tracer.path_of_module(self), (x, residual, mask), {})
        y: Tensor = self.active(x, residual, mask)
        return y

    def _share(self) -> None:
        if self.shared_affine:
            first, *others = self.domains.values()
            for layer in others:
                layer.weight, layer.bias = first.weight, first.bias

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        plain = {key: v for key, v in state_dict.items() if key.startswith(prefix) and "." not in key[len(prefix) :]}
        for key, value in plain.items():
            del state_dict[key]
            for name in self._names:
                state_dict.setdefault(f"{prefix}domain_{name}.{key[len(prefix) :]}", value.clone())
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        """Return whether γ and β are shared; the layers show themselves."""
        return f"shared_affine={self.shared_affine}"


extend_signature(DomainBatchNormBase, BatchNormBase)


def _share_again(module: DomainBatchNormBase, incompatible: Any) -> None:
    module._share()  # load_state_dict(assign=True) gives each layer parameters of its own


class DomainBatchNorm1d(DomainBatchNormBase):
    """For (N, C) or (N, C, L) input; all else as in :class:`DomainBatchNormBase`."""

    kind = BatchNorm1d


class DomainBatchNorm2d(DomainBatchNormBase):
    """For (N, C, H, W) input; all else as in :class:`DomainBatchNormBase`."""

    kind = BatchNorm2d


class DomainBatchNorm3d(DomainBatchNormBase):
    """For (N, C, D, H, W) input; all else as in :class:`DomainBatchNormBase`."""

    kind = BatchNorm3d
