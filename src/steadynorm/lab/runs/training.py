"""One training run: the loop, its evaluations, its divergence, its resumption. Every trained number comes from here.

Which batch comes at step t, and how it is distorted, depend on the seed and t alone (:mod:`.batches`), so arms of one
seed see the same data; dropout's draws come from a generator whose state is saved. A resumed run therefore ends with
the same numbers, bit for bit, on the same processor, number of threads and number of ranks.

Several ranks make one batch: each computes its share, and their gradients are averaged, so that batch and learning rate
do not depend on how many they are.

Batch norm evaluates with its moving averages, of weight 0.1 for the newest batch (torch's default): after 50 steps 99.5
% of them come from the run itself.
"""

import io
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ...errors import DataError
from ...files import write_beside
from .batches import DROPOUT, generator
from .execution import Execution
from .recipe import Recipe

__all__ = ["Batches", "Training", "drive"]


class Batches(Protocol):
    """Where a run has its data from."""

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return input and labels of this rank's share of the batch of a step, a function of the step alone."""
        ...

    def validation(self) -> Iterable[tuple[Tensor, Tensor]]:
        """Yield inputs and labels of this rank's share of the validation part."""
        ...

    def place(self, step: int) -> dict[str, Any]:
        """Return what :meth:`take_up` must know of the data before ``step``: plain data, of all ranks together."""
        ...

    def take_up(self, place: dict[str, Any], step: int) -> None:
        """Go on at a step where :meth:`place` was asked, or raise a DataError if these are other data."""
        ...


class Training:
    """The state of one run, which advances a step, evaluates, saves and restores itself.

    Args:
        network: to be trained; it is changed.
        batches: the data.
        recipe: momentum, decay of weights and rate.
        learning_rate: the initial one, with the arm's factor already in it.
        steps: optimizer steps of the whole run, over which the rate halves so often as the recipe says.
        seed: of dropout, whose draws each rank makes for itself.
        execution: how a step is computed.
    """

    def __init__(
        self,
        network: nn.Module,
        batches: Batches,
        recipe: Recipe,
        *,
        learning_rate: float,
        steps: int,
        seed: int,
        execution: Execution | None = None,
    ) -> None:
        self.execution = execution or Execution()
        self.batches, self.recipe, self.learning_rate, self.steps = batches, recipe, learning_rate, steps
        self.network, self.called = self.execution.prepare(network)
        weights = [p for p in self.network.parameters() if p.dim() > 1]
        others = [p for p in self.network.parameters() if p.dim() == 1]  # γ, β, biases
        groups: list[dict[str, Any]] = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others}]
        self.optimizer = torch.optim.SGD(groups, lr=learning_rate, momentum=recipe.momentum, foreach=True)
        self.step = 0
        self.curve: list[tuple[int, float]] = []  # step, validation accuracy
        self.best: dict[str, Tensor] = {}  # the network's state at the best evaluation
        self.diverged = False
        self.seconds = 0.0
        self.spent = {"data": 0.0, "compute": 0.0}  # of them, since the last look
        self.seed = seed
        rank = self.execution.ranks.rank
        self.dropout_state = generator(seed, DROPOUT, *([rank] if rank else [])).get_state()

    def advance(self) -> float:
        """Take one optimizer step and return its loss, the mean over the ranks. A non-finite loss is the divergence of
        the run: no step is taken."""
        begun = time.perf_counter()
        x, labels = self.execution.placed(*self.batches.at(self.step))
        fetched = time.perf_counter()
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * 0.5 ** (self.recipe.halvings * self.step / self.steps)

        self.network.train()
        self.optimizer.zero_grad()
        with torch.random.fork_rng(devices=self.execution.generators):
            torch.random.set_rng_state(self.dropout_state)
            self.execution.seed(self.dropout_state)
            loss = self._differentiate(x, labels)
            self.dropout_state = torch.random.get_rng_state()
        ranks = self.execution.ranks
        value = ranks.sums([loss])[0] / ranks.size if ranks.together else loss
        if math.isfinite(value):
            self.optimizer.step()
        else:
            self.diverged = True
        self.step += 1
        self.spent["data"] += fetched - begun
        self.spent["compute"] += time.perf_counter() - fetched
        return value

    def _differentiate(self, x: Tensor, labels: Tensor) -> float:
        """Leave the gradients of the mean loss in the parameters, and return this rank's loss."""
        parts = self.execution.accumulate
        total = 0.0
        for number, (images, answers) in enumerate(zip(x.chunk(parts), labels.chunk(parts), strict=True), start=1):
            with self.execution.exchanging(self.called, last=number == parts), self.execution.autocast():
                loss = cross_entropy(self.called(images), answers) / parts
                loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        return total

    @torch.inference_mode()
    def accuracy(self, part: Iterable[tuple[Tensor, Tensor]]) -> float:
        """Return the share of the images that the network, in evaluation mode, gets right, over all ranks."""
        self.execution.agree(self.network)
        self.network.eval()
        hits = seen = 0
        for batch in part:
            x, labels = self.execution.placed(*batch)
            with self.execution.autocast():
                hits += int((self.network(x).argmax(1) == labels).sum())
            seen += len(labels)
        hits, seen = map(int, self.execution.ranks.sums([hits, seen]))
        return hits / seen if seen else math.nan

    def evaluate(self) -> float:
        """Evaluate on the validation part, and keep the weights if they are the best so far."""
        accuracy = self.accuracy(self.batches.validation())
        if not self.curve or accuracy > max(a for _, a in self.curve):
            self.best = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.curve.append((self.step, accuracy))
        return accuracy

    def state(self) -> dict[str, Any]:
        """Return all that :meth:`take_up` needs, of all ranks: tensors and plain data. Every rank must ask."""
        self.execution.agree(self.network)
        return {
            "step": self.step,
            "curve": [list(point) for point in self.curve],
            "diverged": self.diverged,
            "seconds": self.seconds,
            "dropout_states": self.execution.ranks.gathered(self.dropout_state),
            "place": self.batches.place(self.step),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
        }

    def take_up(self, state: dict[str, Any]) -> None:
        """Take up a run where :meth:`state` left it.

        With another number of ranks, dropout's draws begin anew on each; all else goes on as it would have.
        """
        self.batches.take_up(state["place"], state["step"])
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.diverged, self.seconds = state["step"], state["diverged"], state["seconds"]
        self.curve = [(int(step), float(accuracy)) for step, accuracy in state["curve"]]
        self.best = state["best"]
        ranks, states = self.execution.ranks, state["dropout_states"]
        if len(states) == ranks.size:
            self.dropout_state = states[ranks.rank]
        else:
            self.dropout_state = generator(self.seed, DROPOUT, ranks.rank, ranks.size, self.step).get_state()

    def save(self, path: Path) -> None:
        """Write the state beside ``path``, and rename it there."""
        whole = io.BytesIO()  # torch's own writer raises no OSError when a disk is full
        torch.save(self.state(), whole)
        write_beside(path, lambda beside: beside.write_bytes(whole.getbuffer()))

    def restore(self, path: Path) -> None:
        """Take up a run where :meth:`save` left it.

        Raises: DataError for a state that another version saved.
        """
        state = torch.load(path, weights_only=True)
        if missing := {"place", "dropout_states"} - state.keys():
            raise DataError(
                f"a state must have been saved by this version, but {path} lacks {min(missing)}; "
                "remove it, and the run begins anew"
            )
        self.take_up(state)


def drive(
    training: Training,
    save: Callable[[], None],
    *,
    evaluate_every: int,
    save_every: int,
    stopped: Callable[[], bool],
    report: Callable[[dict[str, Any]], None],
) -> bool:
    """Train to the end, or until ``stopped()``, which is asked before every step; say whether the end was reached.

    Args:
        training: at whatever step.
        save: called after every ``save_every`` steps, and when stopped.
        evaluate_every: steps between two evaluations.
        save_every: steps between two saves.
        stopped: whether to end early; with ranks, the same on all of them.
        report: given ``step``, ``loss`` (None when it is not finite) after every step, and ``validation_accuracy``
            after an evaluation.
    """
    earlier, start = training.seconds, time.perf_counter()
    while training.step < training.steps and not training.diverged:
        if stopped():
            save()
            return False
        loss = training.advance()
        line: dict[str, Any] = {"step": training.step, "loss": None if training.diverged else loss}
        if not training.diverged and training.step % evaluate_every == 0:
            line["validation_accuracy"] = training.evaluate()
        training.seconds = earlier + time.perf_counter() - start
        if training.step % save_every == 0:
            save()
        report(line)
    return True
