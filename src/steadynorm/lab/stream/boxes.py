"""Which parts of an image a network sees: boxes in pixels of the image as stored, each then resized to a square.

A box is (left, top, right, bottom), in real numbers. To resize the shorter side of an image and cut a square from it is
to cut a box and resize that.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

__all__ = ["ATTEMPTS", "Box", "Boxes", "Centre", "Multicrop", "RandomResized", "Whole"]

Box = tuple[float, float, float, float]
ATTEMPTS = 10  # of a random box, before the centre is taken


class Boxes(Protocol):
    """Says the boxes of an image."""

    def of(self, number: int, width: int, height: int) -> Sequence[Box]:
        """Return the boxes of the image of this number in its batch."""
        ...


@dataclass(frozen=True)
class Whole:
    """The whole image, whatever its shape."""

    def of(self, number: int, width: int, height: int) -> Sequence[Box]:
        """Return the image's own edges."""
        return [(0.0, 0.0, float(width), float(height))]


@dataclass(frozen=True)
class Centre:
    """The central square, of so large a share of the shorter side: 224 of 256 pixels is 0.875."""

    share: float

    def of(self, number: int, width: int, height: int) -> Sequence[Box]:
        """Return the one box."""
        return [_square(width / 2, height / 2, min(width, height) * self.share)]


@dataclass(frozen=True)
class Multicrop:
    """72 boxes, which with their mirror images are the 144 crops of Szegedy et al. 2015, Sec. 7.

    The shorter side is resized to 256, 288, 320 and 352 pixels for a network of 224; of the left, central and right
    square (top, centre and bottom of a portrait) the four corners and the centre are taken at 224, and the square
    itself. Other networks see the same in proportion.
    """

    shares: tuple[float, ...] = (224 / 256, 224 / 288, 224 / 320, 224 / 352)

    def of(self, number: int, width: int, height: int) -> Sequence[Box]:
        """Return the boxes by scale, square and place."""
        side = min(width, height)
        boxes: list[Box] = []
        for share in self.shares:
            crop, gap = side * share, side * (1 - share)
            for third in (0.0, 0.5, 1.0):
                left, top = (width - side) * third, (height - side) * third
                for right, down in ((0, 0), (1, 0), (0, 1), (1, 1), (0.5, 0.5)):
                    boxes.append(
                        (left + gap * right, top + gap * down, left + gap * right + crop, top + gap * down + crop)
                    )
                boxes.append((left, top, left + side, top + side))
        return boxes


@dataclass(frozen=True)
class RandomResized:
    """A box of random area and shape, in a random place: the *Inception-style* crop of Szegedy et al. 2015, Sec. 6.

    Args:
        draws: (N, :data:`ATTEMPTS`, 4) uniform on [0, 1): of area, shape, and both places.
        scale: the least and largest share of the image's area.
        ratio: the least and largest width over height, of equal odds in proportion.
    """

    draws: np.ndarray
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def of(self, number: int, width: int, height: int) -> Sequence[Box]:
        """Return the first drawn box that fits, or else the largest central one of an allowed shape."""
        low, high = (math.log(bound) for bound in self.ratio)
        for area, shape, across, down in self.draws[number].tolist():
            area = width * height * (self.scale[0] + area * (self.scale[1] - self.scale[0]))
            ratio = math.exp(low + shape * (high - low))
            w, h = math.sqrt(area * ratio), math.sqrt(area / ratio)
            if w <= width and h <= height:
                left, top = across * (width - w), down * (height - h)
                return [(left, top, left + w, top + h)]
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
        w, h = min(width, height * ratio), min(height, width / ratio)
        return [((width - w) / 2, (height - h) / 2, (width + w) / 2, (height + h) / 2)]


def _square(x: float, y: float, side: float) -> Box:
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2
