"""``steadynorm train``: one recipe at any size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from .command import Command, Switch
from .exits import DONE
from .output import print_json, print_report

__all__ = ["TrainCommand"]


@dataclass(frozen=True, kw_only=True)
class TrainCommand(Command):
    """Show what a recipe is: its settings, each with its source, and its network, a layer a row.

    Examples:

      steadynorm train imagenet/bn-x5 --describe    the table, and where the paper contradicts it
    """

    recipe: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RECIPE", help_behavior_hint="")]
    """imagenet/inception, imagenet/bn-baseline, imagenet/bn-x5, imagenet/bn-x30, imagenet/bn-x5-sigmoid; or small/…"""
    describe: Switch = False
    """Show the recipe and its network, and train nothing."""
    json: Switch = False
    """Print one JSON document."""

    def run(self) -> int:
        """Print the recipe."""
        from ..lab.describe import describe
        from ..lab.recipes import SOURCES, find, settings
        from ..reports import Report

        chosen = find(self.recipe)
        network = describe(chosen.name, chosen.network(), chosen.size)
        rows = [{"setting": key, "value": value, "source": SOURCES[key]} for key, value in settings(chosen).items()]
        recipe = Report(chosen.name, ("setting", "value", "source"), rows)
        if self.json:
            print_json({"recipe": recipe.to_dict(), "network": network.to_dict()})
        else:
            print_report(recipe)
            print()
            print_report(network)
        return DONE
