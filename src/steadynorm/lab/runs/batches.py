"""Images that fit into memory as the batches of a run: which, in which order, standardized and distorted."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data import Data, Images
from .recipe import Recipe, Shuffling

__all__ = ["DISTORTION", "DROPOUT", "MEMBERS", "ORDER", "WEIGHTS", "InMemory", "batch_indices", "distort_", "generator"]

WEIGHTS, MEMBERS, ORDER, DISTORTION, DROPOUT, CROPS = range(6)  # what a generator is for, the second part of its key


def generator(*key: int) -> torch.Generator:
    """Return a generator of its own for each key, as independent as numpy's seed sequences make them."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))


def batch_indices(step: int, examples: int, batch_size: int, shuffling: Shuffling, seed: int) -> Tensor:
    """Return which examples make the batch of ``step`` (from 0): a function of its arguments alone.

    Every epoch visits every example; its last batch is filled up from the epoch's beginning.
    """
    batches = math.ceil(examples / batch_size)
    epoch, position = divmod(step, batches)
    if shuffling == "batches":
        members = torch.randperm(examples, generator=generator(seed, MEMBERS))
        position = int(torch.randperm(batches, generator=generator(seed, ORDER, epoch))[position])
    else:
        members = torch.randperm(examples, generator=generator(seed, MEMBERS, epoch))
    return members[(torch.arange(batch_size) + position * batch_size) % examples]


def distort_(x: Tensor, strength: float, draws: Tensor) -> Tensor:
    """Change contrast and brightness of every image of the batch, in place.

    Each image (of unit standard deviation over the data set) is scaled about its mean by U(1-strength, 1+strength) and
    shifted by U(-strength, strength).

    Args:
        x: (N, C, H, W).
        strength: of both.
        draws: (2, N), uniform on [0, 1).
    """
    contrast, brightness = (draws[:, :, None, None, None] * 2 - 1) * strength
    mean = x.mean((1, 2, 3), keepdim=True)
    return x.sub_(mean).mul_(1 + contrast).add_(mean + brightness)


class InMemory:
    """The batches of a run over a :class:`~steadynorm.lab.data.Data`, its pixels standardized by the train part.

    Args:
        data: the images.
        recipe: its batch size, its shuffling and its distortion.
        seed: of both.
    """

    def __init__(self, data: Data, recipe: Recipe, seed: int) -> None:
        self.data, self.recipe, self.seed = data, recipe, seed
        pixels = data.train.images[:10_000].float()  # in random order, and enough of them
        self.mean = pixels.mean((0, 2, 3), keepdim=True)
        self.std = pixels.std((0, 2, 3), keepdim=True).clamp_min(1)  # of 0…255; a constant channel becomes 0

    def input(self, images: Images) -> Tensor:
        """Return what the network is given for these images."""
        x = (images.images.float() - self.mean) / self.std
        return x.contiguous(memory_format=torch.channels_last)

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the input and the labels of a step's batch."""
        recipe = self.recipe
        indices = batch_indices(step, len(self.data.train), recipe.batch_size, recipe.shuffling, self.seed)
        batch = self.data.train[indices]
        draws = torch.rand(2, len(batch), generator=generator(self.seed, DISTORTION, step))
        return distort_(self.input(batch), recipe.distortion, draws), batch.labels

    def validation(self) -> Iterable[tuple[Tensor, Tensor]]:
        """Yield the validation part."""
        return self.part(self.data.validation)

    def place(self, step: int) -> dict[str, Any]:
        """Return nothing: the step says all."""
        return {}

    def take_up(self, place: dict[str, Any], step: int) -> None:
        """Do nothing."""

    def part(self, images: Images) -> Iterable[tuple[Tensor, Tensor]]:
        """Yield inputs and labels of these images, undistorted."""
        # small chunks stay in the processor's cache
        for chunk in torch.split(torch.arange(len(images)), 120):
            part = images[chunk]
            yield self.input(part), part.labels
