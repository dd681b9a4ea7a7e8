"""The way from the words typed to one command, and from whatever it raises to an exit code and one message.

The names of the commands are parsed here, with the standard library, so that ``--help`` and ``--version`` answer at
once and with torch alone installed. The flags of a command are parsed by tyro, from the dataclass in its file.
"""

from __future__ import annotations

import argparse
import inspect
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

import steadynorm

from ..errors import DataError, NothingDoneWarning, SteadyNormError, installing
from .exits import DONE, INTERRUPTED, MISSING, WRONG_USE
from .plain import speak_plainly

if TYPE_CHECKING:
    from .command import Command

__all__ = ["COMMANDS", "main"]

# A file of this folder each, which holds a dataclass: `fold` is FoldCommand.
COMMANDS = {
    "reproduce": "train the ladder of the batch-norm paper, or settle claims of the literature, on this machine",
    "train": "train one recipe at any size, the paper's network at full size among them",
    "claims": "list every claim of the literature that is settled here, with its last verdict",
    "doctor": "say what is wrong with a model's normalization, why, and what to do",
    "recalibrate": "compute the running statistics of a model's batch norms again, over data",
    "fold": "merge the batch norms of a model into its linear layers, and prove the result equal",
    "report": "build the report of a run again, from its record",
    "bench": "measure our layers beside those of torch on this machine",
    "explain": "write a page that explains batch normalization in figures to be dragged, and open it",
    "env": "show versions, processor, threads and kernel, and check that the layers compute what they should",
}


SHELLS = ("bash", "zsh")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line, by default the process's own, and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    speak_plainly(sys.stdout, sys.stderr)
    typed = _parser().parse_args(words[: 2 if words[:1] == ["--completion"] else 1])
    try:
        if typed.completion:
            return _print_completion(typed.completion)
        if not typed.command:
            _parser().error("a COMMAND is missing; steadynorm --help lists them")
        command = _load(typed.command, words[1:])
        command.check_files()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NothingDoneWarning)  # every command prints the report
            code = command.run()
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:  # the reader has left, as in `steadynorm env | head -1`; Python must not flush at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (ModuleNotFoundError, OSError, SteadyNormError) as error:
        if "--debug" in words:
            traceback.print_exc()
        return _explain(error, typed.command)


def _explain(error: Exception, command: str) -> int:
    """Say in one line what was wrong and what to do, and return the exit code; a flaw of ours is raised again."""
    if isinstance(error, ModuleNotFoundError) and not isinstance(error, SteadyNormError):
        package = (error.name or "").partition(".")[0]
        if package in ("", "steadynorm"):
            raise error
        return _fail(f"steadynorm {command} needs the package {package}; install it with: {installing('lab')}", MISSING)
    return _fail(str(error), MISSING if isinstance(error, DataError | OSError) else WRONG_USE)


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    parser = argparse.ArgumentParser(
        prog="steadynorm",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="steadynorm COMMAND [flags]",
        description="Batch normalization for PyTorch: the evidence on this machine, and tools for whole models.",
        epilog="\n".join(
            [
                "commands:",
                *(f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items()),
                "",
                "examples:",
                "  steadynorm reproduce             the main job: a table and report.html, in some minutes",
                "  steadynorm reproduce --dry-run   what it would do, and how long it would take",
                "  steadynorm reproduce --help      the flags of a command",
                "",
                f"The commands need more than the layers do: {installing('lab')}",
            ]
        ),
    )
    parser.add_argument("--version", action="version", version=f"steadynorm {steadynorm.__version__}")
    parser.add_argument("--completion", choices=SHELLS, help="print what completes commands and flags in this shell")
    parser.add_argument("command", nargs="?", choices=COMMANDS, metavar="COMMAND", help="one of the commands below")
    return parser


def _kind(name: str) -> type[Command]:
    return getattr(import_module(f".{name}", __package__), f"{name.capitalize()}Command")  # type: ignore[no-any-return]


def _print_completion(shell: str) -> int:
    """Print a script for the shell: ``steadynorm --completion bash > …/bash-completion/completions/steadynorm``."""
    import tyro

    kinds: dict[str, Callable[..., Command]] = {name: _kind(name) for name in COMMANDS}
    tyro.extras.subcommand_cli_from_dict(kinds, prog="steadynorm", args=["--tyro-print-completion", shell])
    return DONE


def _load(name: str, flags: Sequence[str]) -> Command:
    """Parse the flags of one command; on wrong use or ``--help`` tyro says what is to say and exits."""
    import tyro

    kind = _kind(name)
    return tyro.cli(
        kind,
        prog=f"steadynorm {name}",
        description=inspect.getdoc(kind),
        args=flags,
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.PositionalRequiredArgs),
    )


def _fail(message: str, code: int) -> int:
    print(f"steadynorm: {message}", file=sys.stderr)
    return code
