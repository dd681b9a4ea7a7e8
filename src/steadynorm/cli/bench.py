"""``steadynorm bench``: our layers beside torch's on this machine."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from ..reports import Report
from .command import Command, Switch
from .exits import DONE
from .output import print_json, print_report

__all__ = ["BenchCommand"]


@dataclass(frozen=True, kw_only=True)
class BenchCommand(Command):
    """Measure batch norm with its activation, ours beside torch's, over the shapes that networks have.

    Both run by turns in one process, with allocation; each case is checked to give the same results before it is timed.
    Takes some minutes, and wants a quiet machine.
    """

    json: Switch = False
    """Print one JSON document."""
    rounds: int = 9
    """How often each case is measured; at least 5."""
    compiled: Switch = False
    """Let torch.compile take part, which needs some seconds for each of the cases."""

    def run(self) -> int:
        """Measure, and print a row a case."""
        import torch

        from .. import kernels
        from ..bench import compare_layers, rows
        from ..environment import environment
        from ..errors import ArgumentError

        if self.rounds < 5:
            raise ArgumentError(f"--rounds must be 5 or more, received {self.rounds}")
        kernels.load()
        results = rows(
            compare_layers(
                rounds=self.rounds,
                compiled=lambda case: self.compiled,
                progress=lambda case: print(f"measuring {case}", file=sys.stderr),
            )
        )
        facts = environment(threads=torch.get_num_threads(), kernels=kernels.status())
        if self.json:
            print_json({"environment": facts, "cases": results})
            return DONE
        columns = [
            name for name in results[0] if name not in ("rounds", *(() if self.compiled else ("torch.compile ms",)))
        ]
        table = [
            {name: "{:.2f} – {:.2f}".format(*row[name]) if name == "quartiles" else row[name] for name in columns}
            for row in results
        ]
        notes = [
            f"float32, with allocation, medians of {self.rounds} interleaved rounds, torch {torch.__version__}, "
            f"{torch.get_num_threads()} threads; kernels {kernels.status()}.",
            "copies: our time as a multiple of copying the input.",
        ]
        print_report(Report("Batch norm and activation", columns, table, notes))
        return DONE
