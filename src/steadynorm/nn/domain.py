"""Batch normalization with statistics for each of several domains, and the switch between them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.fx import Proxy
from torch.nn import Module

from ..errors import ArgumentError, ModelError, ShapeError
from ..functional.conditional import check_classes
from . import masking
from .arguments import extend_signature
from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d, BatchNormBase

__all__ = ["DomainBatchNorm1d", "DomainBatchNorm2d", "DomainBatchNorm3d", "domain"]

_active: ContextVar[str | Tensor | None] = ContextVar("domain", default=None)


def active_domain() -> str | Tensor | None:
    """Return the domain of the innermost block, or the numbers of its examples' domains; None outside of all."""
    return _active.get()


@contextmanager
def domain(name: str | Tensor) -> Iterator[None]:
    """In this block every :class:`DomainBatchNorm2d` (1d, 3d) uses its layer for the domain ``name``.

    Blocks nest; the innermost counts. Each thread and each asynchronous task has its own.

    Args:
        name: of the whole batch's domain; or, for a batch that mixes them, a tensor (N,) of integers, for each example
            its domain's place in the layer's list ``domains``.

    Raises: ArgumentError for anything else.
    """
    if not isinstance(name, str | Tensor):
        raise ArgumentError(f"a domain must be a name or a tensor of numbers, received {type(name).__name__}")
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
        with domain(torch.tensor([0, 1, 1, 0])):  # of each example
            y = layer(x)

    A batch that mixes domains has statistics of neither. Here each batch is of one domain, and so are the running
    statistics that it moves and that evaluation uses; or the examples of each domain in it are taken for a batch, which
    needs two values a feature in training. The domains that are not in a batch stay as they are.

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
    name or number, ShapeError and DtypeError for a tensor that does not say one for each example; and what batch norm
    raises, before any domain is changed.
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
    def domains(self) -> Mapping[str, Any]:
        """The layers by domain."""
        return {name: self.get_submodule(f"domain_{name}") for name in self._names}

    @property
    def active(self) -> Module:
        """The layer of the active domain."""
        name = active_domain()
        if isinstance(name, Tensor):
            raise ModelError("a single domain must be active, received one for each example: name it")
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
        if mask is None and masking.open_blocks:
            mask = masking.mask_for(self, x, next(iter(self.domains.values())).channel_axis)
        numbers = active_domain()
        if isinstance(numbers, Tensor):
            return self._each_by_its_own(x, residual, mask, numbers)
        y: Tensor = self.active(x, residual, mask)
        return y

    def _each_by_its_own(self, x: Tensor, residual: Tensor | None, mask: Tensor | None, numbers: Tensor) -> Tensor:
        """Run the examples of each domain through its layer, and put the results in their places."""
        if numbers.dim() != 1:
            raise ShapeError(f"domains must be one for each example, of shape (N,), received {tuple(numbers.shape)}")
        check_classes(numbers, x, len(self._names))
        if residual is not None and residual.shape != x.shape:
            raise ShapeError(
                f"the residual must have the input's shape {tuple(x.shape)}, received {tuple(residual.shape)}"
            )
        if mask is not None:
            mask = mask.expand(len(x), *mask.shape[1:])
        rows = [(numbers == i).nonzero().squeeze(1).to(x.device) for i in range(len(self._names))]
        if sum(len(r) for r in rows) < len(x):  # on a device, or compiled, nothing has looked at the numbers yet
            raise ArgumentError(f"domains must be numbers from 0 to {len(self._names) - 1}, received others")
        parts = [(layer, r) for layer, r in zip(self.domains.values(), rows, strict=True) if len(r)]
        if not parts:  # an empty batch, which any layer takes
            parts = [(self.domains[self._names[0]], rows[0])]

        def of(r: Tensor) -> tuple[Tensor | None, ...]:
            return tuple(None if v is None else v[r] for v in (x, residual, mask))

        for layer, r in parts:  # all are looked at before any is changed
            layer.check(*of(r))
        y = torch.cat([layer(*of(r)) for layer, r in parts])
        return y[torch.cat([r for _, r in parts]).argsort()]

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
