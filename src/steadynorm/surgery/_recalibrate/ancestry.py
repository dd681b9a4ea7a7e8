"""Which layers feed which, seen in one run: every operation passes on from its inputs the set of layers behind them.

Layers that do not feed each other can be measured in the same pass; :func:`levels` groups them.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.distributed import ProcessGroup

from ..._torch import Dispatch, StorageKey, storage_of, tree_leaves, written
from ..ranks import exchange
from ..watch import hooked

__all__ = ["Ancestry", "agree", "levels"]

Feeders = dict[nn.Module, set[nn.Module]]

SOURCE = 1  # the bit of what comes from the batch; layer number i has the bit 2 << i


class Ancestry(Dispatch):
    """Follows tensors through every operation, in-place ones and views included, by the storage they stand in.

    A number that leaves the tensors (``item``) may steer what comes after it, so its layers are counted as behind all
    of that. What reaches a layer from nowhere (through numpy, say) is taken to come from all the layers that have run
    before.
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = list(layers)
        self.behind: dict[nn.Module, int] = {}  # in the order of first use
        self._sets: dict[int, tuple[StorageKey, int]] = {}
        self._steering = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        found = self._steering
        for tensor in _tensors((args, kwargs)):
            found |= self._get(tensor)
        result = func(*args, **kwargs)
        outputs = list(_tensors(result))
        if not outputs:
            self._steering |= found
        self.mark((*outputs, *_tensors(list(written(func, args)))), found)
        return result

    def mark(self, tensors: Iterable[Tensor], found: int) -> None:
        """Add to the set behind each tensor."""
        if found:
            for tensor in tensors:
                key = storage_of(tensor)
                self._sets[key[0]] = key, found | self._get(tensor)

    def _get(self, tensor: Tensor) -> int:
        return self._sets.get(storage_of(tensor)[0], (None, 0))[1]

    @contextmanager
    def watching(self, batch: Any) -> Iterator[None]:
        """Follow what is computed from this batch in the block, and write down what lies behind each layer."""

        def enter(layer: nn.Module, args: Any, kwargs: Any) -> None:
            found = self._steering
            for tensor in _tensors((args, kwargs)):
                found |= self._get(tensor)
            if not found:
                found = sum(2 << self.layers.index(other) for other in self.behind)
            self.behind[layer] = self.behind.get(layer, 0) | found

        def leave(layer: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            self.mark(_tensors(output), self.behind[layer] | 2 << self.layers.index(layer))

        self.mark(_tensors(batch), SOURCE)
        with hooked(self.layers, enter, leave), self:
            yield

    def feeders(self) -> Feeders:
        """Return for each layer that ran, in order of first use, the layers that feed it."""
        return {
            layer: {other for number, other in enumerate(self.layers) if found & (2 << number)}
            for layer, found in self.behind.items()
        }


def levels(feeders: Feeders) -> list[list[nn.Module]]:
    """Group layers so that each comes after all that feed it, in as few groups as possible.

    Layers that feed each other, or themselves (used several times), cannot all come after another: the first of them by
    order of use goes ahead.
    """
    waiting = dict(feeders)
    groups: list[list[nn.Module]] = []
    while waiting:
        ready = [layer for layer, behind in waiting.items() if not (behind - {layer}) & waiting.keys()]
        groups.append(ready or [next(iter(waiting))])
        for layer in groups[-1]:
            del waiting[layer]
    return groups


def agree(feeders: Feeders, modules: Sequence[nn.Module], group: ProcessGroup | None) -> Feeders:
    """Return the union of what all ranks saw of who feeds whom: a rank may have no data, or take another branch."""
    number = {module: index for index, module in enumerate(modules)}
    mine = {number[module]: {number[other] for other in behind} for module, behind in feeders.items()}
    union: dict[int, set[int]] = {}
    for theirs in exchange(mine, group):
        for index, behind in theirs.items():
            union[index] = union.get(index, set()) | behind
    return {modules[index]: {modules[other] for other in behind} for index, behind in union.items()}


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))
