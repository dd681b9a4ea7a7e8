"""``steadynorm doctor``: what is wrong with a model's normalization, on a terminal, in a page, or for CI."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from ..errors import ArgumentError
from .command import Command, Switch
from .exits import DONE, FAILED
from .output import print_json, print_told, print_written
from .target import Target, WeightsFile, load_made, load_model, load_object

__all__ = ["DoctorCommand"]

Name = Annotated[str | None, tyro.conf.arg(metavar="MODULE:NAME", help_behavior_hint="")]
Words = Annotated[tuple[str, ...], tyro.conf.arg(metavar="PATTERN", help_behavior_hint="")]


@dataclass(frozen=True, kw_only=True)
class DoctorCommand(Command):
    """Run a few batches through a model and say what is wrong with its normalization, why, and what to do.

    Without --data the rules that need none run. With --metric it also says which layers the gap between running and
    batch statistics comes from. The model is not changed.

    Examples:

      steadynorm doctor zoo.models:resnet --weights w.safetensors --data zoo.data:loader
      steadynorm doctor zoo.models:resnet --data zoo.data:loader --metric zoo.data:accuracy --html doctor.html
      steadynorm doctor zoo.models:resnet --fail-on warning                              in CI
    """

    target: Target
    """The model, or a function that makes it: package.module:factory."""
    data: Name = None
    """An iterable of batches like those of training, such as a DataLoader, or a function that makes it."""
    weights: WeightsFile = None
    """Load these weights first: safetensors, or what torch.save(model.state_dict(), FILE) wrote."""
    metric: Name = None
    """A function of outputs and batch that returns one number, such as an accuracy: explain the gap in it."""
    forward: Name = None
    """A function of model and batch that runs the model, where a batch is not what the model takes."""
    loss: Name = None
    """A function of outputs and batch, for the gradients of one training step."""
    steps: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """How many steps the training run has."""
    micro_batches: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """How many batches are accumulated before the optimizer steps."""
    max_batches: Annotated[int, tyro.conf.arg(metavar="N")] = 20
    """Read at most so many batches."""
    ignore: Words = ()
    """Leave findings out by rule, by layer, or by both: redundant-bias, backbone.*, dead-channels:head.*"""
    fail_on: Annotated[
        Literal["error", "warning", "note"] | None, tyro.conf.arg(metavar="SEVERITY", help_behavior_hint="")
    ] = None
    """End with 1 if there is a finding of this severity or a worse one: error, warning or note."""
    json: Switch = False
    """Print one JSON document."""
    html: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Write a page that needs nothing else: findings, the gap, each layer's data beside its running statistics."""

    def run(self) -> int:
        """Diagnose, print, write the page."""
        import steadynorm as sn

        for flag in ("metric", "forward", "loss"):
            if getattr(self, flag) and not self.data:
                raise ArgumentError(f"--{flag} needs --data: package.module:name of a DataLoader or a list of batches")
        metric, forward, loss = (_function(name) for name in (self.metric, self.forward, self.loss))
        model = load_model(self.target, self.weights)
        batches = _batches(self.data, self.max_batches) if self.data else None
        diagnosis = sn.diagnose(
            model,
            batches,
            ignore=self.ignore,
            forward=forward,
            loss=loss,
            steps=self.steps,
            micro_batches=self.micro_batches,
        )
        gap = None
        if metric is not None:
            gap = sn.explain_gap(model, batches or (), metric, forward=forward, try_recalibration=True)
        if self.html:
            from ..files import write_beside
            from ..pages.diagnosis import render

            page = render(diagnosis, gap, self.target)
            write_beside(self.html, lambda beside: beside.write_text(page, encoding="utf-8"))
        if self.json:
            print_json({"diagnosis": diagnosis.to_dict(), "gap": gap.to_dict() if gap else None})
        else:
            for told in (diagnosis, gap):
                if told is not None:
                    print_told(told)
        if self.html:
            print_written(self.html, json=self.json)
        return FAILED if self.fail_on and diagnosis.at_least(self.fail_on) else DONE


def _function(name: str | None) -> Callable[..., Any] | None:
    if name is None:
        return None
    found = load_object(name)
    if not callable(found):
        raise ArgumentError(f"{name} must be a function, but is of type {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def _batches(name: str, most: int) -> list[Any]:
    """Return the batches that are read, so that the loader runs once."""
    from ..surgery.watch import read

    batches: Iterable[Any] = load_made(name, "an iterable of batches")
    return list(read(batches, most))
