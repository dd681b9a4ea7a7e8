"""Names of the version before: they serve until the next one, with a DeprecationWarning, and old pickles load."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any
from warnings import warn

__all__ = ["old_modules", "old_names", "renamed"]


def renamed(name: Any, names: Mapping[str, str]) -> Any:
    """Return the new name where an old one is given, and say so."""
    if not isinstance(name, str) or name not in names:
        return name
    warn(f"{name} is now called {names[name]}; the old name goes with the next version", DeprecationWarning, 3)
    return names[name]


def old_names(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a module in which some names are new."""

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(sys.modules[module], renamed(name, names))

    return get


def old_modules(package: str, moved: Mapping[str, str]) -> None:
    """Let the modules of a package be found at their old places too, where pickles look for their classes."""
    for old, new in moved.items():
        sys.modules[f"{package}.{old}"] = import_module(f"{package}.{new}") if new else sys.modules[package]
