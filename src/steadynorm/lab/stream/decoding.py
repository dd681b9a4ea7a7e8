"""Encoded images made into pixels by Pillow, in processes of their own; a corrupt one is named, never raised.

What a process imports is small: no torch.
"""

import io
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import NamedTuple

import numpy as np

from .boxes import Boxes

__all__ = ["Decoded", "Decoder", "decode"]


class Decoded(NamedTuple):
    """Pixels (images × boxes, size, size, 3) of uint8, and why images could not be decoded, by number; they are 0."""

    pixels: np.ndarray
    failures: dict[int, str]


def decode(encoded: Sequence[bytes], boxes: Boxes, size: int) -> Decoded:
    """Cut the boxes out of each image, and resize them to squares of ``size`` pixels.

    Images are made RGB. Pixels are averaged where a box is larger than the square and interpolated linearly where it is
    smaller (Pillow's *bilinear*).
    """
    views: list[np.ndarray | None] = []
    failures: dict[int, str] = {}
    for number, data in enumerate(encoded):
        try:
            views.append(_views(data, number, boxes, size))
        except Exception as error:  # Pillow raises whatever a damaged file makes it stumble over
            failures[number] = f"{type(error).__name__}: {error}" if data else "no bytes, or a file that cannot be read"
            views.append(None)
    like = next((view for view in views if view is not None), np.zeros((1, size, size, 3), np.uint8))
    whole = [np.zeros_like(like) if view is None else view for view in views]
    return Decoded(np.concatenate(whole) if whole else like[:0], failures)


def _views(data: bytes, number: int, boxes: Boxes, size: int) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        rgb = image.convert("RGB")
    found = boxes.of(number, *rgb.size)
    views = np.empty((len(found), size, size, 3), np.uint8)
    for view, (left, top, right, bottom) in zip(views, found, strict=True):
        inside = max(left, 0.0), max(top, 0.0), min(right, rgb.width), min(bottom, rgb.height)  # whatever the rounding
        view[:] = np.asarray(rgb.resize((size, size), Image.Resampling.BILINEAR, inside))
    return views


class Decoder:
    """Decodes in so many processes, or in this one.

    Args:
        workers: processes; 0 decodes here, when it is asked.
    """

    def __init__(self, workers: int) -> None:
        self._workers = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin) if workers else None

    def submit(self, encoded: Sequence[bytes], boxes: Boxes, size: int) -> "Future[Decoded]":
        """Begin to decode."""
        if self._workers is None:
            done: Future[Decoded] = Future()
            done.set_result(decode(encoded, boxes, size))
            return done
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a process begun here never sees Ctrl-C
        try:
            return self._workers.submit(decode, encoded, boxes, size)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def close(self) -> None:
        """End the processes."""
        if self._workers is not None:
            self._workers.shutdown(cancel_futures=True)


def _begin() -> None:
    """End this process with the one that began it, however that ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
