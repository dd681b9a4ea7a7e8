"""Names that are not there: those of the version before serve until the next one, with a DeprecationWarning, and old
pickles load; for others the nearest right one is named."""

import sys
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any
from warnings import warn

__all__ = ["nearest", "old_modules", "old_names", "renamed"]


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


def nearest(name: Any, known: Iterable[str]) -> str:
    """Return a question to append to an error, or nothing if no known name is near.

    >>> nearest("groupnorm", ["group", "layer"])
    "; did you mean 'group'?"
    """
    found = get_close_matches(str(name).lower(), [*known], n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""
