r"""In which order the examples of a stream come: a function of seed and step alone.

An epoch lays the chunks of all shards one behind the other in a new order, and cuts them into windows of a fixed number
of examples, the shuffle buffer. One window is in memory at a time; within it the examples are permuted. So the batch of
any step is known without the ones before it: to go on with a stream costs the reading of one window, and its place is
two numbers.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby

import numpy as np
import torch

from ..runs.batches import MEMBERS, ORDER, generator
from ..runs.recipe import Shuffling
from .source import Chunk

__all__ = ["Order", "Place"]


@dataclass(frozen=True)
class Place:
    """Where a batch is: its epoch, the window there, and its examples' numbers in the window, in order."""

    epoch: int
    window: int
    members: Sequence[int]


@dataclass(frozen=True)
class Order:
    """The order of a stream.

    Args:
        chunks: of the source.
        batch_size: examples of a step, of all ranks together.
        buffer: at least so many examples are shuffled together: a window is the next multiple of the batch.
        shuffling: ``"examples"``: the chunks of all shards come in another order every epoch, and a window is permuted;
            ``"batches"``: the shards alone change their order, within them all stays; None: nothing is shuffled.
        seed: of all of it.
    """

    chunks: Sequence[Chunk]
    batch_size: int
    buffer: int
    shuffling: Shuffling | None
    seed: int
    examples: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "examples", sum(chunk.rows for chunk in self.chunks))
        object.__setattr__(self, "_laid", lru_cache(maxsize=2)(self._lay))

    @property
    def batches(self) -> int:
        """Batches of an epoch; the last one is filled up from the beginning of its window."""
        return math.ceil(self.examples / self.batch_size)

    @property
    def batches_of_a_window(self) -> int:
        """Batches of every window but the last."""
        return max(1, math.ceil(min(self.buffer, self.examples) / self.batch_size))

    @property
    def window(self) -> int:
        """Examples of every window but the last."""
        return self.batches_of_a_window * self.batch_size

    @property
    def windows(self) -> int:
        """Windows of an epoch."""
        return math.ceil(self.examples / self.window)

    def size(self, window: int) -> int:
        """Return how many examples a window has."""
        return min(self.window, self.examples - window * self.window)

    def place(self, step: int) -> Place:
        """Return where the batch of ``step`` is, from 0."""
        epoch, batch = divmod(step, self.batches)
        window, number = divmod(batch, self.batches_of_a_window)
        size, first = self.size(window), number * self.batch_size
        members: list[int]
        if self.shuffling == "examples":
            shuffled = torch.randperm(size, generator=generator(self.seed, MEMBERS, epoch, window))
            members = shuffled[(torch.arange(self.batch_size) + first) % size].tolist()
        else:
            members = [(first + i) % size for i in range(self.batch_size)]
        return Place(epoch, window, members)

    def pieces(self, epoch: int, window: int) -> Iterator[tuple[int, int, int]]:
        """Yield what a window is read from, in order: a chunk, and from where to where."""
        order, ends = self._laid(epoch if self.shuffling else 0)  # type: ignore[attr-defined]
        at, end = window * self.window, window * self.window + self.size(window)
        number = int(np.searchsorted(ends, at, side="right"))
        while at < end:
            chunk = int(order[number])
            begin = int(ends[number]) - self.chunks[chunk].rows
            stop = min(end, int(ends[number]))
            yield chunk, at - begin, stop - begin
            at, number = stop, number + 1

    def _lay(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the order of the chunks, and where each ends."""
        order = np.arange(len(self.chunks))
        if self.shuffling == "examples":
            order = torch.randperm(len(order), generator=generator(self.seed, ORDER, epoch)).numpy()
        elif self.shuffling == "batches":
            shards = [list(group) for _, group in groupby(order, key=lambda chunk: self.chunks[int(chunk)].shard)]
            turns = torch.randperm(len(shards), generator=generator(self.seed, ORDER, epoch)).tolist()
            order = np.array([chunk for turn in turns for chunk in shards[turn]])
        return order, np.cumsum([self.chunks[chunk].rows for chunk in order.tolist()])
