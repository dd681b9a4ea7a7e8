"""One real training step on a copy of the model: what the counters count, and how large gradients are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .._torch import tree_leaves
from ..surgery.change import preserved
from ..surgery.dataflow.copying import duplicate
from ..surgery.layers import COUNT
from ..surgery.watch import Forward, call, given_to, hooked
from .subject import Subject

__all__ = ["Step", "take_step"]


@dataclass
class Step:
    """What was seen, by the layers of the model itself."""

    calls: dict[nn.Module, int] = field(default_factory=dict)
    """Of each batch norm in the forward pass."""
    counted: dict[nn.Module, int] = field(default_factory=dict)
    """By how much its counter moved in forward and backward together."""
    gradients: dict[nn.Module, float] = field(default_factory=dict)
    """‖∂loss/∂x · σ‖ at its input x: the loss's change if x moves by its own deviation. By first call."""


def take_step(subject: Subject, batch: Any, forward: Forward | None, loss: Callable[[Any, Any], Tensor] | None) -> Step:
    """Run forward and backward in training on a copy of the model. Without a loss the outputs' gradient is random."""
    with preserved(subject.root), torch.compiler.set_stance("force_eager"), torch.enable_grad():
        return _step_of(duplicate(subject.root), subject, batch, forward, loss)


def _step_of(
    copy: nn.Module, subject: Subject, batch: Any, forward: Forward | None, loss: Callable[[Any, Any], Tensor] | None
) -> Step:
    norms = [layer for layer in subject.batch_norms if not subject.holds(layer)]
    twins = {copy.get_submodule(layer.names[0]): layer.module for layer in norms}
    for parameter in copy.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_()
    step, forwards = Step(), True
    before = {twin: _count(twin) for twin in twins}

    def see(twin: nn.Module, args: Any, kwargs: Any) -> None:
        if not forwards:
            return
        x, _ = given_to(twin, args, kwargs)
        own = twins[twin]
        step.calls[own] = step.calls.get(own, 0) + 1
        if x.requires_grad:
            deviation = x.detach().std(tuple(i for i in range(x.dim()) if i != 1), correction=0, keepdim=True)
            x.register_hook(  # type: ignore[no-untyped-call]
                lambda g: step.gradients.__setitem__(own, float((g * deviation).double().norm()))
            )

    copy.train()
    for layer in subject.batch_norms:
        if subject.holds(layer):
            copy.get_submodule(layer.names[0]).eval()
    with hooked(twins, see):
        outputs = call(copy, batch, forward)
        value = _against_noise(outputs) if loss is None else loss(outputs, batch)
        forwards = False
        value.backward()  # type: ignore[no-untyped-call]
    for twin, own in twins.items():
        step.counted[own] = _count(twin) - before[twin]
    step.gradients = {own: step.gradients[own] for own in step.calls if own in step.gradients}
    return step


def _count(module: nn.Module) -> int:
    counter = getattr(module, COUNT, None)
    return 0 if counter is None else int(counter)


def _against_noise(outputs: Any) -> Tensor:
    """Return a number whose gradient with respect to the outputs is random, the same each time."""
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros(())
    for y in tree_leaves(outputs):
        if isinstance(y, Tensor) and y.is_floating_point() and y.requires_grad:
            total = total + (y * torch.randn(y.shape, generator=generator).to(y)).sum()
    return total
