"""How the layers of a model are joined, as far as one run shows it: who is given the very tensor that another gave."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import ref

from torch import Tensor, nn

from .._torch import version_of
from ..surgery.layers import is_normalization
from ..surgery.watch import hooked

__all__ = ["Wiring"]

SLOPES = (nn.Sigmoid, nn.Tanh)


@dataclass
class Wiring:
    """What was seen in the first run."""

    calls: list[nn.Module] = field(default_factory=list)
    """Layers with weights, norms, sigmoid and tanh, in the order of their calls."""
    follows: dict[nn.Module, nn.Module] = field(default_factory=dict)
    """A layer, and the norm whose output is its input, unchanged."""
    features_last: dict[nn.Module, tuple[nn.Module, tuple[int, ...]]] = field(default_factory=dict)
    """A norm, the linear layer whose output (N, *S, C) is its input, unchanged, and the sizes of that."""
    saturated: dict[nn.Module, float] = field(default_factory=dict)
    """Sigmoid or tanh, and the share of its values where its slope is below a twentieth of the largest."""

    @contextmanager
    def watching(self, root: nn.Module) -> Iterator[None]:
        """Write down what happens in the block."""
        given: dict[int, tuple[Any, int, nn.Module]] = {}
        watched = [m for m in root.modules() if is_normalization(m) or isinstance(m, SLOPES) or _has_weight(m)]

        def before(module: nn.Module, args: Any, kwargs: Any) -> None:
            self.calls.append(module)
            for x in (t for t in (*args, *kwargs.values()) if isinstance(t, Tensor)):
                alive, version, source = given.get(id(x), (lambda: None, 0, module))
                if alive() is x and version == version_of(x):
                    if not isinstance(source, nn.Linear):
                        self.follows.setdefault(module, source)
                    elif is_normalization(module) and x.dim() > 2:
                        self.features_last.setdefault(module, (source, tuple(x.shape)))

        def after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            if not isinstance(output, Tensor):
                return
            if is_normalization(module) or isinstance(module, nn.Linear):
                given[id(output)] = ref(output), version_of(output), module
            elif isinstance(module, SLOPES) and output.dim() > 1 and not _is_gate(output):
                slope = output * (1 - output) * 4 if isinstance(module, nn.Sigmoid) else 1 - output.square()
                self.saturated[module] = float((slope < 0.05).double().mean())

        with hooked(watched, before, after):
            yield

    def is_last(self, module: nn.Module) -> bool:
        """Whether no layer with weights and no norm is called after it: an output, which may well be saturated."""
        later = self.calls[len(self.calls) - 1 - self.calls[::-1].index(module) + 1 :]
        return not any(_has_weight(m) or is_normalization(m) for m in later)


def _has_weight(module: nn.Module) -> bool:
    return isinstance(getattr(module, "weight", None), Tensor) and not is_normalization(module)


def _is_gate(y: Tensor) -> bool:
    """Whether it scales whole features or whole positions, as squeeze-and-excitation does."""
    return y.dim() > 2 and (y.shape[1] == 1 or y.shape[2:].numel() == 1)
