"""A run of the ladder: an arm on images that fit into memory, as one job of many."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..data import load
from ..network import Initialization, Network, NetworkOptions, stem_for
from .batches import WEIGHTS, InMemory, generator
from .recipe import Recipe
from .training import Training, drive

__all__ = ["Job", "JobTraining", "run"]

_SAVE_EVERY = 100  # optimizer steps; a save takes about as long as one of them


@dataclass(frozen=True)
class Job:
    """One run, wholly described, and a function of this description.

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


class JobTraining(Training):
    """The training of a job."""

    batches: InMemory

    def __init__(self, job: Job) -> None:
        self.job = job
        data = load(job.data, job.seed, train=job.train, validation=job.validation, test=job.test)
        channels, _, size = data.shape
        recipe = job.recipe
        options = NetworkOptions(
            classes=data.classes,
            channels=channels,
            stem=stem_for(size),
            width=job.width,
            batch_norm=recipe.batch_norm,
            local_response_norm=recipe.local_response_norm,
            dropout=recipe.dropout,
            activation=recipe.activation,
            initialization=job.initialization,
        )
        super().__init__(
            Network(options, generator(job.seed, WEIGHTS)),
            InMemory(data, recipe, job.seed),
            recipe,
            learning_rate=job.learning_rate,
            steps=job.steps,
            seed=job.seed,
        )

    def result(self) -> dict[str, Any]:
        """Return the run as plain data; the test part is touched here and nowhere else."""
        best = max((accuracy for _, accuracy in self.curve), default=None)
        test_accuracy = None
        if self.job.tested and self.best:
            self.network.load_state_dict(self.best)
            test_accuracy = self.accuracy(self.batches.part(self.batches.data.test))
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
        report: given ``run`` and what :func:`~.training.drive` tells, after every step.
    """
    training = JobTraining(job)
    if state_file.exists():
        training.restore(state_file)
    finished = drive(
        training,
        lambda: training.save(state_file),
        evaluate_every=job.evaluate_every,
        save_every=_SAVE_EVERY,
        stopped=stopped,
        report=lambda line: report({"run": job.id, **line}),
    )
    return training.result() if finished else None
