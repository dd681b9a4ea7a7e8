"""The batches of a run from a stream: read a window at a time, decoded ahead, made into the network's input.

The batch of a step, with its crops and distortions, is a function of seed and step; of it a rank decodes its share. So
neither resumption nor the number of ranks changes what the network sees.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import DataError
from ..runs.batches import CROPS, DISTORTION, distort_, generator
from ..runs.ranks import Ranks
from ..runs.recipe import Recipe
from .boxes import ATTEMPTS, Boxes, Centre, RandomResized, Whole
from .decoding import Decoded, Decoder
from .order import Order
from .source import Example, Source

__all__ = ["Streamed", "View"]

_EVALUATED = 128  # images at a time, of all ranks together


@dataclass(frozen=True)
class View:
    """What the network sees of an image.

    Args:
        size: pixels a side.
        scale: of random crops in training: the least and largest share of the area; None: the whole image.
        ratio: their least and largest width over height.
        hflip: the probability of a mirror image in training.
        crop_pct: the share of the shorter side that is seen in evaluation; None: the whole image.
        mean, std: of the pixels' channels, on the scale of 0 to 1; the input is standardized by them.
    """

    size: int = 224
    scale: tuple[float, float] | None = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    hflip: float = 0.5
    crop_pct: float | None = 0.875
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def in_training(self, draws: np.ndarray) -> Boxes:
        """Return what is seen in training, by draws as :class:`.boxes.RandomResized` takes them."""
        return Whole() if self.scale is None else RandomResized(draws, self.scale, self.ratio)

    def in_evaluation(self) -> Boxes:
        """Return what is seen in evaluation."""
        return Whole() if self.crop_pct is None else Centre(self.crop_pct)

    def input(self, pixels: np.ndarray) -> Tensor:
        """Return pixels (N, H, W, 3) as the network's input (N, 3, H, W), in the layout ``channels_last``."""
        x = torch.from_numpy(pixels).float()
        return ((x / 255 - torch.tensor(self.mean)) / torch.tensor(self.std)).permute(0, 3, 1, 2)


class Streamed:
    """Batches for :class:`~steadynorm.lab.runs.training.Training`, of sources that need not fit into memory.

    In memory are the encoded images of two windows of the shuffle buffer, and ``2 × workers + 2`` decoded batches. An
    image that cannot be decoded is skipped: the next one of its window takes its place.

    Args:
        train: the source of :meth:`at`.
        held_out: that of :meth:`validation`; None has none.
        view: what the network sees.
        recipe: its batch size, its shuffling and its distortion.
        seed: of order, crops and distortions.
        ranks: this process among those that share each batch.
        workers: processes that decode; 0: none but this one.
        buffer: examples that are shuffled together.
        max_skipped: end the run when this process has met more images that cannot be decoded.
        told: given the name of each such image, and why, once.
    """

    def __init__(
        self,
        train: Source,
        held_out: Source | None,
        view: View,
        recipe: Recipe,
        seed: int,
        *,
        ranks: Ranks | None = None,
        workers: int = 0,
        buffer: int = 8192,
        max_skipped: int = 100,
        told: Callable[[str, str], None] = lambda name, why: None,
    ) -> None:
        self.train, self.held_out, self.view, self.recipe, self.seed = train, held_out, view, recipe, seed
        self.ranks, self.max_skipped, self.told = ranks or Ranks(), max_skipped, told
        self.order = Order(train.chunks, recipe.batch_size, buffer, recipe.shuffling, seed)
        self.skipped: dict[str, str] = {}
        self._decoder, self._reader = Decoder(workers), ThreadPoolExecutor(1)
        self._windows: dict[tuple[int, int], Future[list[Example]]] = {}
        self._ahead: dict[int, tuple[list[Example], list[int], Boxes, Future[Decoded]]] = {}
        self._depth = 2 * workers + 1 if workers else 1

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return input and labels of this rank's share of the batch of a step."""
        self._ahead = {number: begun for number, begun in self._ahead.items() if number >= step}
        for number in range(step, step + self._depth):
            if number not in self._ahead:
                self._ahead[number] = self._begin(number)
        pixels, labels = self._whole(*self._ahead.pop(step))
        batch, share = self.recipe.batch_size, self._share
        mirrored = torch.rand(batch, generator=generator(self.seed, CROPS, step, 1))[share] < self.view.hflip
        x = self.view.input(pixels)
        x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
        draws = torch.rand(2, batch, generator=generator(self.seed, DISTORTION, step))[:, share]
        return distort_(x, self.recipe.distortion, draws), labels

    def validation(self) -> Iterable[tuple[Tensor, Tensor]]:
        """Yield inputs and labels of this rank's share of the held-out images."""
        return self.seen(self.view.in_evaluation())

    def seen(self, boxes: Boxes) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this rank's share of the held-out images: of each the boxes' inputs, one behind the other, and its
        label. An image that cannot be decoded is left out."""
        if self.held_out is None:
            return
        order = Order(self.held_out.chunks, _EVALUATED, 8 * _EVALUATED, None, self.seed)
        begun = (self._evaluated(order, window, first, boxes) for window, first in _batches(order))
        for names, labels, future in _ahead(begun, self._depth):
            pixels, failures = future.result()
            for number, why in failures.items():
                self._skip(names[number], why)
            kept = [number for number in range(len(names)) if number not in failures]
            if kept:
                each = pixels.reshape(len(names), -1, *pixels.shape[1:])[kept]
                x = self.view.input(each.reshape(-1, *pixels.shape[1:]))
                yield x, torch.tensor([labels[number] for number in kept])

    def place(self, step: int) -> dict[str, Any]:
        """Return where the stream is before ``step``: plain data, from which :meth:`take_up` knows it again."""
        place = self.order.place(step)
        skipped = {name: why for one in self.ranks.gathered(self.skipped) for name, why in one.items()}
        return {"epoch": place.epoch, "window": place.window, "data": self._fingerprint(), "skipped": skipped}

    def take_up(self, place: dict[str, Any], step: int) -> None:
        """Go on where :meth:`place` was asked.

        Raises: DataError when these are other data, or another order of them.
        """
        now = self.order.place(step)
        found = {"epoch": now.epoch, "window": now.window, "data": self._fingerprint()}
        if found != {name: place[name] for name in found}:
            raise DataError(
                f"a run goes on with the data and the batch size with which it was begun, but {self.train.name} has "
                "other shards, or they are shuffled otherwise; give those data, or begin a new run"
            )
        self.skipped = dict(place["skipped"])

    def close(self) -> None:
        """End the processes, and forget what was read ahead."""
        self._ahead.clear()
        self._windows.clear()
        self._reader.shutdown(cancel_futures=True)
        self._decoder.close()

    @property
    def _share(self) -> slice:
        share = self.ranks.share(self.recipe.batch_size)
        return slice(share.start, share.stop)

    def _fingerprint(self) -> str:
        order = self.order
        told = [self.train.name, list(order.chunks), order.batch_size, order.window, order.shuffling, order.seed]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]

    def _begin(self, step: int) -> tuple[list[Example], list[int], Boxes, "Future[Decoded]"]:
        """Begin to decode this rank's share of a batch; return its window and the numbers of its examples there."""
        place = self.order.place(step)
        window = self._window(place.epoch, place.window)
        members = list(place.members[self._share])
        drawn = torch.rand(self.recipe.batch_size, ATTEMPTS, 4, generator=generator(self.seed, CROPS, step))
        boxes = self.view.in_training(drawn[self._share].numpy())
        encoded = [window[member].encoded for member in members]
        return window, members, boxes, self._decoder.submit(encoded, boxes, self.view.size)

    def _window(self, epoch: int, window: int) -> list[Example]:
        """Return the examples of a window, and begin to read the one behind it."""
        following = (epoch, window + 1) if window + 1 < self.order.windows else (epoch + 1, 0)
        wanted = ((epoch, window), following)
        for key in wanted:
            if key not in self._windows:
                self._windows[key] = self._reader.submit(self._read, *key)
        self._windows = {key: read for key, read in self._windows.items() if key in wanted}
        return self._windows[epoch, window].result()

    def _read(self, epoch: int, window: int) -> list[Example]:
        pieces = self.order.pieces(epoch, window)
        return [example for piece in pieces for example in self.train.read(*piece)]

    def _whole(
        self, window: list[Example], members: list[int], boxes: Boxes, future: "Future[Decoded]"
    ) -> tuple[np.ndarray, Tensor]:
        """Return the pixels and labels of a share, with another example of the window in the place of each corrupt
        one."""
        pixels, failures = future.result()
        for number, why in failures.items():
            for _ in range(len(window)):
                self._skip(window[members[number]].name, why)
                members[number] = (members[number] + 1) % len(window)
                one = _Only(boxes, number)
                again, failed = self._decoder.submit([window[members[number]].encoded], one, self.view.size).result()
                if not failed:
                    pixels[number] = again[0]
                    break
                why = failed[0]
            else:
                raise DataError(f"some image of {self.train.name} must be whole, received {len(window)} that are not")
        return pixels, torch.tensor([window[member].label for member in members])

    def _evaluated(
        self, order: Order, window: int, first: int, boxes: Boxes
    ) -> tuple[list[str], list[int], "Future[Decoded]"]:
        assert self.held_out is not None
        count = min(_EVALUATED, order.size(window) - first)
        share = self.ranks.share(count)
        examples: list[Example] = []
        at = 0
        for chunk, start, stop in order.pieces(0, window):
            low, high = max(first + share.start, at), min(first + share.stop, at + stop - start)
            if low < high:
                examples += self.held_out.read(chunk, start + low - at, start + high - at)
            at += stop - start
        submitted = self._decoder.submit([example.encoded for example in examples], boxes, self.view.size)
        return [example.name for example in examples], [example.label for example in examples], submitted

    def _skip(self, name: str, why: str) -> None:
        if name in self.skipped:
            return
        self.skipped[name] = why
        self.told(name, why)
        if len(self.skipped) > self.max_skipped:
            raise DataError(
                f"at most {self.max_skipped} images may be ones that cannot be decoded, received another: {name} "
                f"({why}); repair the data, or allow more with --max-skipped"
            )


@dataclass(frozen=True)
class _Only:
    """The boxes of one image of a batch, asked for by itself."""

    boxes: Boxes
    number: int

    def of(self, number: int, width: int, height: int) -> Any:
        return self.boxes.of(self.number, width, height)


def _batches(order: Order) -> Iterator[tuple[int, int]]:
    """Yield the window and the first example of each batch of an epoch."""
    for window in range(order.windows):
        for first in range(0, order.size(window), order.batch_size):
            yield window, first


def _ahead(begun: Iterator[Any], depth: int) -> Iterator[Any]:
    """Yield what an iterator does, of which ``depth`` are begun ahead."""
    waiting: list[Any] = []
    for one in begun:
        waiting.append(one)
        if len(waiting) > depth:
            yield waiting.pop(0)
    yield from waiting
