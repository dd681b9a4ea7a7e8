"""The checkpoints of a run: the last few, and the best weights; each is there whole, or not at all.

A checkpoint is a state, ``step-00000100.pt``, and what it names: the weights beside it, ``step-00000100.safetensors``,
and the weights of the best evaluation until then, ``best-00000050.safetensors``. The state is written last and removed
first, so that whatever is there when a run is killed is of use. Nothing that is loaded can execute code.
"""

import io
import re
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from ...errors import ArgumentError, DataError
from ...files import write_beside

__all__ = ["Checkpoints", "check_weights", "write_weights"]

Weights = Mapping[str, Tensor]


class Checkpoints:
    """The checkpoints in a folder.

    Args:
        folder: theirs alone; made when the first is saved.
        keep: the last so many are kept.

    Raises: ArgumentError for a ``keep`` below 1.
    """

    def __init__(self, folder: Path, keep: int = 3) -> None:
        if keep < 1:
            raise ArgumentError(f"at least 1 checkpoint must be kept, received {keep}")
        self.folder, self.keep = folder, keep

    def steps(self) -> list[int]:
        """Return the steps of which there is a checkpoint, in order."""
        found = (re.fullmatch(r"step-(\d+)\.pt", file.name) for file in self.folder.glob("step-*.pt"))
        return sorted(int(match[1]) for match in found if match)

    def save(self, state: Mapping[str, Any]) -> None:
        """Save what :meth:`~.training.Training.state` returned, and remove what is older than the last few.

        Raises: OSError, as when the disk is full; the checkpoints that were there before are there still.
        """
        step, others = state["step"], dict(state)
        named = {"network": _name("step", step)}
        write_weights(self.folder / named["network"], others.pop("network"))
        if best := others.pop("best"):
            named["best"] = _name("best", _best_step(state["curve"]))
            if not (self.folder / named["best"]).exists():
                write_weights(self.folder / named["best"], best)
        files = {part: {"name": name, "crc32": _crc(self.folder / name)} for part, name in named.items()}
        whole = io.BytesIO()  # torch's own writer raises no OSError when a disk is full
        torch.save({"files": files, **others}, whole)
        write_beside(self._state_file(step), lambda beside: beside.write_bytes(whole.getbuffer()))
        self._prune()

    def load(self, step: int) -> dict[str, Any]:
        """Return the state that was saved at a step.

        Raises: DataError when one of its files is missing or damaged.
        """
        file = self._state_file(step)
        state: dict[str, Any] = self._read(file, _from_zip)
        state["best"] = {}
        for part, entry in state.pop("files").items():
            weights = self.folder / entry["name"]
            if not weights.exists() or _crc(weights) != entry["crc32"]:
                raise self._damaged(weights, "it is missing" if not weights.exists() else "its checksum is another")
            state[part] = self._read(weights, from_bytes)
        return state

    def tidy(self) -> None:
        """Remove what a killed process left half written; no other process may write here."""
        for file in self.folder.glob(".*"):
            file.unlink()
        self._prune()

    def _prune(self) -> None:
        """Remove the states before the last few, then the weights that none names."""
        kept = self.steps()
        for step in kept[: -self.keep]:
            self._state_file(step).unlink()
        named = set()
        for step in kept[-self.keep :]:
            with suppress(DataError):  # a damaged one is spoken of when it is loaded
                state = self._read(self._state_file(step), _from_zip)
                named |= {entry["name"] for entry in state["files"].values()}
        for file in self.folder.glob("*.safetensors"):
            if kept and file.name not in named:
                file.unlink()

    def _state_file(self, step: int) -> Path:
        return self.folder / f"step-{step:08}.pt"

    def _read(self, file: Path, reading: Callable[[bytes], Any]) -> Any:
        try:
            data = file.read_bytes()
        except OSError as error:
            raise self._damaged(file, str(error)) from error
        try:
            return reading(data)
        except (SafetensorError, BadZipFile, RuntimeError, EOFError, ValueError, KeyError, UnpicklingError) as error:
            raise self._damaged(file, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}") from error

    def _damaged(self, file: Path, why: str) -> DataError:
        steps = self.steps()
        of = int(match[1]) if (match := re.search(r"step-(\d+)", file.name)) else max(steps, default=0)
        before = max((step for step in steps if step < of), default=None)
        instead = f"remove step-{of:08}.pt to go on from step {before}" if before is not None else "begin a new run"
        return DataError(f"a checkpoint must be whole, but {file} is not ({why}); {instead}")


def write_weights(file: Path, weights: Weights) -> None:
    """Write tensors as safetensors, whole or not at all."""
    data = to_bytes({name: value.detach().cpu().contiguous() for name, value in weights.items()})
    write_beside(file, lambda beside: beside.write_bytes(data))


def check_weights(found: Weights, wanted: Weights, where: str) -> None:
    """Raise a DataError if ``found``, read from ``where``, is not of the network whose tensors are ``wanted``."""
    missing, further = wanted.keys() - found.keys(), found.keys() - wanted.keys()
    shapes = [
        f"{name} is {tuple(found[name].shape)} in place of {tuple(value.shape)}"
        for name, value in wanted.items()
        if name in found and found[name].shape != value.shape
    ]
    flaws = [f"{len(missing)} tensors are missing, {min(missing)} among them"] if missing else []
    flaws += [f"{len(further)} have no place, {min(further)} among them"] if further else []
    if flaws := flaws + shapes[:1]:
        raise DataError(
            f"a checkpoint must be of the network that is trained, but in that of {where} {'; '.join(flaws)}; "
            "give the recipe and the classes with which it was made"
        )


def _from_zip(data: bytes) -> Any:
    """Return what torch saved, checked first: it takes a file with another head for one of an old format."""
    with ZipFile(io.BytesIO(data)) as file:
        if damaged := file.testzip():
            raise BadZipFile(f"the checksum of {damaged} is another")
    return torch.load(io.BytesIO(data), weights_only=True)


def _best_step(curve: Any) -> int:
    best = max(accuracy for _, accuracy in curve)
    return next(int(step) for step, accuracy in curve if accuracy == best)


def _name(what: str, step: int) -> str:
    return f"{what}-{step:08}.safetensors"


def _crc(file: Path) -> int:
    return zlib.crc32(file.read_bytes())
