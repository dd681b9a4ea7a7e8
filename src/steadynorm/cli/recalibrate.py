"""``steadynorm recalibrate``: population statistics taken anew over data, and the weights written with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from ..errors import ArgumentError
from .command import Command, OutputFile, Switch
from .exits import DONE
from .output import print_json, print_report, print_written
from .target import Target, WeightsFile, load_made, load_model, save_weights

__all__ = ["RecalibrateCommand"]


@dataclass(frozen=True, kw_only=True)
class RecalibrateCommand(Command):
    """Compute the running statistics of a model's batch norms again, over data, and write its weights.

    Prints for each layer how far its statistics had drifted, or why it is left alone.

    Examples:

      steadynorm recalibrate zoo.models:resnet --weights ema.pt --data zoo.data:loader                only look
      steadynorm recalibrate zoo.models:resnet --weights ema.pt --data zoo.data:loader -o new.safetensors
    """

    target: Target
    """The model, or a function that makes it: package.module:factory."""
    data: Annotated[str, tyro.conf.arg(metavar="MODULE:NAME", help_behavior_hint="(required)")] = ""
    """An iterable of batches as sn.recalibrate_ takes them, such as a DataLoader, or a function that makes it."""
    weights: WeightsFile = None
    """Load these weights first: safetensors, or what torch.save(model.state_dict(), FILE) wrote."""
    passes: Literal["one", "exact"] = "one"
    """One pass, in which layers see the noise of each batch; or layer after layer, each behind final ones."""
    estimator: Literal["pooled", "paper"] = "pooled"
    """The variance of all data, or the average of the batches' own (Eq 5 of the paper)."""
    max_batches: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all)")] = None
    """Read at most so many batches."""
    tolerance: Annotated[float | None, tyro.conf.arg(metavar="X", help_behavior_hint="(default: none)")] = None
    """Stop as soon as no layer's relative standard error exceeds this."""
    json: Switch = False
    """Print the report as one JSON document."""
    output: OutputFile = None
    """Write the weights here (.safetensors)."""

    def run(self) -> int:
        """Recalibrate, write the file, print the report."""
        import steadynorm as sn

        if not self.data:
            raise ArgumentError("recalibrate needs --data: package.module:name of a DataLoader or a list of batches")
        if self.output and self.output.suffix != ".safetensors":
            raise ArgumentError(f"the file to write must end in .safetensors, received {self.output}")
        model = load_model(self.target, self.weights)
        report = sn.recalibrate_(
            model,
            load_made(self.data, "an iterable of batches"),
            passes=self.passes,
            estimator=self.estimator,
            max_batches=self.max_batches,
            tolerance=self.tolerance,
        )
        if self.output:
            save_weights(model, self.output)
        if self.json:
            print_json(report.to_dict())
        else:
            print_report(report)
        if self.output:
            print_written(self.output, json=self.json)
        return DONE
