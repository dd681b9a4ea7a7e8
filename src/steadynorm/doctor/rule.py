"""What a rule is, what it is given, and how the rules are found: each is a file in ``rules/``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from torch import nn
from torch.distributed import ProcessGroup
from torch.optim import Optimizer

from ..surgery.layers import Layer
from .distance import Distance, distance
from .evidence import Evidence, Seen
from .finding import Finding
from .step import Step
from .subject import Subject

__all__ = ["Case", "Rule", "all_rules"]


@dataclass
class Case(Subject):
    """One model, and all that is known of it; a part that a rule needs and that is None keeps the rule from running."""

    evidence: Evidence | None = None
    step: Step | None = None
    biases: Mapping[str, Sequence[str]] | None = None
    """Each layer whose bias is cancelled, and the batch norms that do it."""
    optimizer: Optimizer | None = None
    reference: nn.Module | None = None
    process_group: ProcessGroup | None = None
    steps: int | None = None
    micro_batches: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._distances: dict[nn.Module, Distance | None] = {}

    def seen(self, layer: Layer) -> Seen | None:
        """What the batches show of a layer; None if there were none, or none reached it."""
        return self.evidence.seen.get(layer.module) if self.evidence else None

    def distance(self, layer: Layer) -> Distance | None:
        """How far its running statistics are from the data; None where that cannot be said."""
        if layer.module not in self._distances:
            self._distances[layer.module] = distance(self.seen(layer))
        return self._distances[layer.module]


@dataclass(frozen=True)
class Rule:
    """A file of ``rules/``: its name is the rule's, its docstring the documentation, ``check`` yields findings."""

    id: str
    check: Callable[[Case], Iterable[Finding]]
    doc: str
    needs: tuple[str, ...]
    """The parts of a :class:`Case` without which it does not run."""
    supersedes: tuple[str, ...]
    """Rules whose findings of a layer this one explains: they are then left out."""

    @property
    def title(self) -> str:
        """The first line of its documentation."""
        return self.doc.partition("\n")[0]


@cache
def all_rules() -> Mapping[str, Rule]:
    """Return the rules by id, in the order of their files."""
    found = {}
    package: Any = import_module(f"{__package__}.rules")
    for file in iter_modules(package.__path__):
        module = import_module(f"{package.__name__}.{file.name}")
        id, doc = file.name.replace("_", "-"), inspect.cleandoc(module.__doc__ or "")
        needs, supersedes = getattr(module, "NEEDS", ()), getattr(module, "SUPERSEDES", ())
        found[id] = Rule(id, module.check, doc, needs, supersedes)
    return found
