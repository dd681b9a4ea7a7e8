"""All or nothing: a block that changes a model, and leaves it as it was if it does not come to its end."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["preserved", "transaction"]


@contextmanager
def transaction(model: nn.Module, written: Iterable[Tensor] = ()) -> Iterator[None]:
    """Restore the model if the block raises, Ctrl-C included.

    What is restored: every module's class and attributes (parameters, buffers and children among them, hooks, modes,
    momenta), the values of all buffers, which parameters require gradients, and torch's random state on the processor
    and on the devices of the model. The values of parameters are not, but for those that the block says it writes: a
    second copy of all weights would be dear.
    """
    before = _Snapshot(model, written)
    try:
        yield
    except BaseException:
        before.restore()
        raise


@contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """Restore what :func:`transaction` restores, however the block ends."""
    before = _Snapshot(model, ())
    try:
        yield
    finally:
        before.restore()


class _Snapshot:
    """A model's state, shallow but for the values of buffers, and of tensors named."""

    def __init__(self, model: nn.Module, written: Iterable[Tensor]) -> None:
        self.modules = [(module, type(module), dict(vars(module))) for module in model.modules()]
        # Children, parameters, buffers and hooks stand in containers. These are filled again and not replaced: a hook's
        # handle refers to the container that it was put in.
        values = {id(value): value for *_, attributes in self.modules for value in attributes.values()}
        self.containers = [(v, v.copy()) for v in values.values() if isinstance(v, dict | list | set)]
        self.values = [(v, v.detach().clone()) for v in (*model.buffers(), *written) if _has_values(v)]
        self.requires_grad = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
        tensors = [*model.parameters(), *model.buffers()]
        self.devices = sorted({t.device.index for t in tensors if t.device.type == "cuda"})
        self.random = torch.get_rng_state(), [torch.cuda.get_rng_state(device) for device in self.devices]

    def restore(self) -> None:
        for module, kind, attributes in self.modules:
            module.__class__ = kind
            vars(module).clear()
            vars(module).update(attributes)
        for container, content in self.containers:
            container.clear()
            container.extend(content) if isinstance(container, list) else container.update(content)
        with torch.no_grad():
            for tensor, value in self.values:
                if not torch.equal(tensor, value):
                    tensor.copy_(value)
        for parameter, required in self.requires_grad:
            parameter.requires_grad_(required)
        torch.set_rng_state(self.random[0])
        for device, state in zip(self.devices, self.random[1], strict=True):
            torch.cuda.set_rng_state(state, device)


def _has_values(tensor: Tensor) -> bool:
    return not (nn.parameter.is_lazy(tensor) or tensor.is_meta)
