"""One training run: the loop, its evaluations, its divergence, its resumption.

A run is a function of its :class:`Job`: which batch comes at step t, and how it is distorted, depend on the seed and t
alone, so arms of one seed see the same data; dropout's draws come from a generator whose state is saved. A resumed run
therefore ends with the same numbers, bit for bit, on the same processor and number of threads.

Batch norm evaluates with its moving averages, of weight 0.1 for the newest batch (torch's default): after 50 steps 99.5
% of them come from the run itself.
"""

import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import convert_conv2d_weight_memory_format

from ...files import write_beside
from ..data import Data, Images, load
from ..network import Initialization, Network, NetworkOptions, stem_for
from .recipe import Recipe, Shuffling

__all__ = ["Job", "Training", "batch_indices", "distort_", "run"]

_SAVE_EVERY = 100  # optimizer steps; a save takes about as long as one of them


@dataclass(frozen=True)
class Job:
    """One run, wholly described.

    Args:
        claim: the id of the claim that it is for.
        recipe: the arm.
        learning_rate: the initial one, with the arm's factor already in it.
        initialization: of the convolutions' weights.
        seed: of split, weights, batches, distortion and dropout.
        data: as :func:`steadynorm.lab.data.load` takes it, with the limits ``train``, ``validation`` and ``test``.
        width: of the network.
        steps: optimizer steps.
        evaluate_every: steps between two evaluations on the validation part.
        tested: whether the test part is evaluated at the end, by the weights of the best validation accuracy.
    """

    claim: str
    recipe: Recipe
    learning_rate: float
    initialization: Initialization
    seed: int
    data: str
    width: Fraction
    steps: int
    evaluate_every: int
    train: int | None = None
    validation: int | None = None
    test: int | None = None
    tested: bool = True

    @property
    def id(self) -> str:
        """A name for files, unique within its run directory."""
        return f"{self.claim}/{self.recipe.name}-{self.initialization}-{self.learning_rate:.4g}-seed{self.seed}" + (
            "" if self.tested else "-grid"
        )

    def run(
        self, state_file: Path, *, stopped: Callable[[], bool], report: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any] | None:
        """Run to the end, as :func:`run` does."""
        return run(self, state_file, stopped=stopped, report=report)


def _generator(*key: int) -> torch.Generator:
    """Return a generator of its own for each key, as independent as numpy's seed sequences make them."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))


_WEIGHTS, _MEMBERS, _ORDER, _DISTORTION, _DROPOUT = range(5)  # what a generator is for, the second part of its key


def batch_indices(step: int, examples: int, batch_size: int, shuffling: Shuffling, seed: int) -> Tensor:
    """Return which examples make the batch of ``step`` (from 0): a function of its arguments alone.

    Every epoch visits every example; its last batch is filled up from the epoch's beginning.
    """
    batches = math.ceil(examples / batch_size)
    epoch, position = divmod(step, batches)
    if shuffling == "batches":
        members = torch.randperm(examples, generator=_generator(seed, _MEMBERS))
        position = int(torch.randperm(batches, generator=_generator(seed, _ORDER, epoch))[position])
    else:
        members = torch.randperm(examples, generator=_generator(seed, _MEMBERS, epoch))
    return members[(torch.arange(batch_size) + position * batch_size) % examples]


def distort_(x: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Change contrast and brightness of every image of the batch, in place.

    Each image (of unit standard deviation over the data set) is scaled about its mean by U(1-strength, 1+strength) and
    shifted by U(-strength, strength).
    """
    contrast, brightness = (torch.rand(2, len(x), 1, 1, 1, generator=generator) * 2 - 1) * strength
    mean = x.mean((1, 2, 3), keepdim=True)
    return x.sub_(mean).mul_(1 + contrast).add_(mean + brightness)


class Training:
    """The state of one run, which advances a step, evaluates, saves and restores itself."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.data: Data = load(job.data, job.seed, train=job.train, validation=job.validation, test=job.test)
        channels, _, size = self.data.shape
        pixels = self.data.train.images[:10_000].float()  # in random order, and enough of them
        self.mean = pixels.mean((0, 2, 3), keepdim=True)
        self.std = pixels.std((0, 2, 3), keepdim=True).clamp_min(1)  # of 0…255; a constant channel becomes 0

        recipe = job.recipe
        options = NetworkOptions(
            classes=self.data.classes,
            channels=channels,
            stem=stem_for(size),
            width=job.width,
            batch_norm=recipe.batch_norm,
            local_response_norm=recipe.local_response_norm,
            dropout=recipe.dropout,
            activation=recipe.activation,
            initialization=job.initialization,
        )
        self.network = Network(options, _generator(job.seed, _WEIGHTS))
        # halves the time of a step of these narrow networks on a processor
        convert_conv2d_weight_memory_format(self.network, torch.channels_last)
        weights = [p for p in self.network.parameters() if p.dim() > 1]
        others = [p for p in self.network.parameters() if p.dim() == 1]  # γ, β, biases
        groups: list[dict[str, Any]] = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others}]
        self.optimizer = torch.optim.SGD(
            groups,
            lr=job.learning_rate,
            momentum=recipe.momentum,
            foreach=True,
        )
        self.step = 0
        self.curve: list[tuple[int, float]] = []  # step, validation accuracy
        self.best: dict[str, Tensor] = {}  # the network's state at the best evaluation
        self.diverged = False
        self.seconds = 0.0
        self.dropout_state = _generator(job.seed, _DROPOUT).get_state()

    def _input(self, images: Images) -> Tensor:
        x = (images.images.float() - self.mean) / self.std
        return x.contiguous(memory_format=torch.channels_last)

    def advance(self) -> float:
        """Take one optimizer step and return its loss. A non-finite loss is the divergence of the run: no step is
        taken."""
        recipe = self.job.recipe
        indices = batch_indices(self.step, len(self.data.train), recipe.batch_size, recipe.shuffling, self.job.seed)
        batch = self.data.train[indices]
        x = distort_(self._input(batch), recipe.distortion, _generator(self.job.seed, _DISTORTION, self.step))
        for group in self.optimizer.param_groups:
            group["lr"] = self.job.learning_rate * 0.5 ** (recipe.halvings * self.step / self.job.steps)

        self.network.train()
        self.optimizer.zero_grad()
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.dropout_state)
            loss = cross_entropy(self.network(x), batch.labels)
            self.dropout_state = torch.get_rng_state()
        value = loss.item()
        if math.isfinite(value):
            torch.autograd.backward(loss)
            self.optimizer.step()
        else:
            self.diverged = True
        self.step += 1
        return value

    @torch.inference_mode()
    def accuracy(self, images: Images) -> float:
        """Return the share of ``images`` that the network, in evaluation mode, gets right."""
        self.network.eval()
        hits = 0
        # small chunks stay in the processor's cache
        for chunk in torch.split(torch.arange(len(images)), 120):
            part = images[chunk]
            hits += int((self.network(self._input(part)).argmax(1) == part.labels).sum())
        return hits / len(images)

    def evaluate(self) -> float:
        """Evaluate on the validation part, and keep the weights if they are the best so far."""
        accuracy = self.accuracy(self.data.validation)
        if not self.curve or accuracy > max(a for _, a in self.curve):
            self.best = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.curve.append((self.step, accuracy))
        return accuracy

    def save(self, path: Path) -> None:
        """Write all that :meth:`restore` needs, beside ``path``, and rename it there."""
        state = {
            "step": self.step,
            "curve": [list(point) for point in self.curve],
            "diverged": self.diverged,
            "seconds": self.seconds,
            "dropout_state": self.dropout_state,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
        }
        whole = io.BytesIO()  # torch's own writer raises no OSError when a disk is full
        torch.save(state, whole)
        write_beside(path, lambda beside: beside.write_bytes(whole.getbuffer()))

    def restore(self, path: Path) -> None:
        """Take up a run where :meth:`save` left it."""
        state = torch.load(path, weights_only=True)
        self.step, self.diverged, self.seconds = state["step"], state["diverged"], state["seconds"]
        self.curve = [(int(step), float(accuracy)) for step, accuracy in state["curve"]]
        self.dropout_state, self.best = state["dropout_state"], state["best"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])

    def result(self) -> dict[str, Any]:
        """Return the run as plain data; the test part is touched here and nowhere else."""
        best = max((accuracy for _, accuracy in self.curve), default=None)
        test_accuracy = None
        if self.job.tested and self.best:
            self.network.load_state_dict(self.best)
            test_accuracy = self.accuracy(self.data.test)
        return {
            "seed": self.job.seed,
            "diverged_at": self.step if self.diverged else None,
            "best_validation_accuracy": best,
            "test_accuracy": test_accuracy,
            "seconds": round(self.seconds, 3),
            "curve": [list(point) for point in self.curve],
        }


def run(
    job: Job,
    state_file: Path,
    *,
    stopped: Callable[[], bool] = lambda: False,
    report: Callable[[dict[str, Any]], None] = lambda line: None,
) -> dict[str, Any] | None:
    """Run a job to its end, from ``state_file`` if there is one, and return its result; None if it was stopped and
    saved.

    Args:
        job: the run.
        state_file: where the state is kept while the run is unfinished.
        stopped: asked before every step.
        report: given ``run``, ``step``, ``loss`` (None when it is not finite) after every step, and
            ``validation_accuracy`` after an evaluation.
    """
    training = Training(job)
    if state_file.exists():
        training.restore(state_file)
    earlier, start = training.seconds, time.perf_counter()
    while training.step < job.steps and not training.diverged:
        if stopped():
            training.save(state_file)
            return None
        loss = training.advance()
        line = {"run": job.id, "step": training.step, "loss": None if training.diverged else loss}
        if not training.diverged and training.step % job.evaluate_every == 0:
            line["validation_accuracy"] = training.evaluate()
        training.seconds = earlier + time.perf_counter() - start
        if training.step % _SAVE_EVERY == 0:
            training.save(state_file)
        report(line)
    return training.result()
