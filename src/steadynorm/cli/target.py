"""The user's own code and files: ``package.module:factory`` made into a model, its weights read, the result written."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ..errors import ArgumentError, DataError, MissingExtraError, ModelError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Target", "WeightsFile", "load_made", "load_model", "load_object", "save_weights"]

Target = Annotated[str, tyro.conf.arg(metavar="TARGET", help_behavior_hint="")]
WeightsFile = Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")]


def load_object(target: str) -> Any:
    """Import what ``package.module:name`` names, from the current folder or from what is installed.

    Raises: ArgumentError if there is no such thing; MissingExtraError if the module needs a package that is not
    installed; ModelError, from what the module raised.
    """
    module_name, _, name = target.partition(":")
    if not module_name or not name:
        raise ArgumentError(f"a target must have the form package.module:name, received {target!r}")
    if os.getcwd() not in sys.path:  # a console script does not have it there, python -m does
        sys.path.insert(0, os.getcwd())
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if f"{module_name}.".startswith(f"{error.name}."):
            raise ArgumentError(
                f"{target} must name a module that can be imported, but there is no module {error.name}: run in the "
                "folder that holds it, or install it"
            ) from error
        raise MissingExtraError(f"{module_name} needs the package {error.name}, which is not installed") from error
    except Exception as error:
        raise ModelError(
            f"{module_name} must be importable, but raised {type(error).__name__}: {error} (--debug shows where)"
        ) from error
    try:
        return attrgetter(name)(module)
    except AttributeError as error:
        raise ArgumentError(f"{target} must exist, but {error}") from error


def load_made(target: str, what: str) -> Any:
    """Return what ``package.module:name`` is, or makes if it is a function.

    Raises: as :func:`load_object`; ModelError if the function raises.
    """
    found = load_object(target)
    if not callable(found):
        return found
    try:
        return found()
    except Exception as error:
        raise ModelError(
            f"{target}() must make {what}, but raised {type(error).__name__}: {error} (--debug shows where)"
        ) from error


def load_model(target: str, weights: Path | None = None) -> nn.Module:
    """Return the model that ``package.module:factory`` makes, or is, with weights from a file if given.

    Raises: as :func:`load_object`; ModelError if the factory raises, or the weights are another model's; DataError if
    the file cannot be read as weights.
    """
    from torch import nn

    model = load_object(target)
    if not isinstance(model, nn.Module):
        if not callable(model):
            raise ArgumentError(f"{target} must be a model or make one, but is of type {type(model).__name__}")
        try:
            model = model()
        except Exception as error:
            raise ModelError(
                f"{target}() must make a model, but raised {type(error).__name__}: {error} (--debug shows where)"
            ) from error
    if not isinstance(model, nn.Module):
        raise ArgumentError(
            f"{target}() must return a torch.nn.Module, but returned a value of type {type(model).__name__}"
        )
    if weights is not None:
        _load_weights(model, weights)
    return model


def _load_weights(model: nn.Module, file: Path) -> None:
    """Load a file of tensors into a model; every name must be in both. A file never runs code."""
    import safetensors.torch

    try:
        if file.suffix == ".safetensors":
            safetensors.torch.load_model(model, file)  # it knows which tensors were written once for several names
        else:
            model.load_state_dict(_read_torch(file))
    except safetensors.SafetensorError as error:
        raise DataError(f"{file} must be a safetensors file, but {error}") from error
    except RuntimeError as error:
        raise ModelError(f"{file} must hold the weights of this model, but {error}") from error


def _read_torch(file: Path) -> Mapping[str, Any]:
    import torch

    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch raises whatever its unpickler came upon
        raise DataError(
            f"{file} must be what torch.save(model.state_dict(), file) writes, or end in .safetensors; it cannot be "
            f"read without running code from it: {str(error).splitlines()[0]}"
        ) from error
    if not isinstance(state, Mapping):
        raise DataError(f"{file} must hold a state_dict, but holds a value of type {type(state).__name__}")
    return state


def save_weights(model: nn.Module, file: Path) -> None:
    """Write the model's state as safetensors, whole or not at all; shared tensors once."""
    import safetensors.torch

    from ..files import write_beside

    def save(beside: Path) -> None:
        try:
            safetensors.torch.save_model(model, str(beside))
        except safetensors.SafetensorError as error:  # a full disk, say, of which it makes no OSError
            raise DataError(f"{file} must be writable, but {error}; free some space, or name another file") from error

    write_beside(file, save)
