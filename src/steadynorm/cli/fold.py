"""``steadynorm fold``: batch norm merged into its neighbours, proven, and written for a place without this package."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ..errors import ArgumentError, FoldError, ModelError
from .command import Command, OutputFile, Switch
from .exits import DONE, FAILED
from .output import print_json, print_report, print_written
from .target import Target, WeightsFile, load_made, load_model, save_weights

if TYPE_CHECKING:
    from torch import nn

__all__ = ["FoldCommand"]


@dataclass(frozen=True, kw_only=True)
class FoldCommand(Command):
    """Merge the batch norms of a model into their linear neighbours, compare with the original, and write the result.

    The model is put into evaluation. Prints for each batch norm what it went into, or why it is kept. Ends with 1, and
    writes nothing, if the folded model does not equal the original on the examples.

    Examples:

      steadynorm fold zoo.models:resnet --example 1,3,224,224                         what would fold, and what not
      steadynorm fold zoo.models:resnet --example 1,3,224,224 --weights w.pt -o folded.safetensors
      steadynorm fold zoo.models:resnet --example zoo.data:images -o folded.pt2
    """

    target: Target
    """The model, or a function that makes it: package.module:factory."""
    example: Annotated[str, tyro.conf.arg(metavar="SIZES|MODULE:NAME", help_behavior_hint="(required)")] = ""
    """What to run it on: the sizes of a tensor that is drawn from the normal distribution, such as 1,3,224,224; or
    package.module:name of example inputs as sn.fold takes them, or of a function that makes them."""
    weights: WeightsFile = None
    """Load these weights first: safetensors, or what torch.save(model.state_dict(), FILE) wrote."""
    tolerance: Annotated[float | None, tyro.conf.arg(metavar="X", help_behavior_hint="(default: of the dtype)")] = None
    """The largest difference allowed, relative to the largest magnitude."""
    trust_examples: Switch = False
    """Where the model decides by values, take the ways of the examples for all there are."""
    fail_on_kept: Switch = False
    """End with 1 if a batch norm is kept, or there is none to fold; the file is written all the same."""
    json: Switch = False
    """Print the report as one JSON document."""
    output: OutputFile = None
    """Write the weights (.safetensors), or a program for inputs of the example's sizes that torch.export.load reads
    (.pt2)."""

    def run(self) -> int:
        """Fold, print the report, write the file."""
        import steadynorm as sn

        if not self.example:
            raise ArgumentError("fold needs --example: sizes such as 1,3,224,224, or package.module:name")
        write = _writer(self.output)
        model = load_model(self.target, self.weights).eval()
        examples = _examples(self.example, model)
        try:
            folded, report = sn.fold(model, examples, tolerance=self.tolerance, trust_examples=self.trust_examples)
        except FoldError as error:
            print(f"steadynorm: {error}", file=sys.stderr)
            return FAILED
        if self.output:
            write(folded, examples, self.output)
        if self.json:
            print_json(report.to_dict())
        else:
            print_report(report)
        if self.output:
            print_written(self.output, json=self.json)
        folded_all = len(report) > 0 and all(row["done"] == "folded" for row in report)
        return FAILED if self.fail_on_kept and not folded_all else DONE


def _examples(text: str, model: nn.Module) -> Any:
    """Return example inputs: drawn, in the model's dtype, or the user's."""
    import torch

    if re.fullmatch(r"\d+(,\d+)*", text):
        dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
        sizes = [int(size) for size in text.split(",")]
        return torch.randn(sizes, generator=torch.Generator().manual_seed(0)).to(dtype)
    if ":" not in text:
        raise ArgumentError(f"--example must be sizes such as 1,3,224,224, or package.module:name, received {text!r}")
    return load_made(text, "example inputs")


# --- the file ---------------------------------------------------------------------------------------------------------


def _writer(file: Path | None) -> Callable[[nn.Module, Any, Path], None]:
    """Return what writes a file of this ending."""
    writers = {".safetensors": lambda model, _, file: save_weights(model, file), ".pt2": _save_program}
    ending = ".safetensors" if file is None else file.suffix
    if ending not in writers:
        raise ArgumentError(f"the file to write must end in {' or '.join(writers)}, received {file}")
    return writers[ending]


def _save_program(model: nn.Module, examples: Any, file: Path) -> None:
    """Write an exported program for inputs like the first example."""
    import torch

    from ..files import write_beside
    from ..surgery.dataflow.examples import read_examples

    example = read_examples(examples)[0]
    try:
        program = torch.export.export(model, example.args, dict(example.kwargs))
    except Exception as error:
        raise ModelError(
            f"the folded model must be one that torch.export takes, but {type(error).__name__}: "
            f"{str(error).splitlines()[0]}: write .safetensors instead"
        ) from error

    whole = io.BytesIO()  # torch's own writer ends the process when a disk is full
    torch.export.save(program, whole)
    write_beside(file, lambda beside: beside.write_bytes(whole.getbuffer()))
