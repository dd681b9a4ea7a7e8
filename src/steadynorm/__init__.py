"""Batch normalization for PyTorch, whole: layers, equations, tools for whole models, and the evidence.

The public names are resolved on first use (PEP 562), so that ``import steadynorm`` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import errors as errors
    from . import functional as functional
    from . import nn as nn
    from . import reports as reports
    from .pages.explainer import figure as figure
    from .surgery.groups import parameter_groups as parameter_groups
    from .surgery.pause import paused_statistics as paused_statistics
    from .surgery.recalibrate import recalibrate_ as recalibrate_

__version__ = "0.1.0"

_HOME = {
    "errors": "",
    "functional": "",
    "nn": "",
    "reports": "",
    "figure": "pages.explainer",
    "parameter_groups": "surgery.groups",
    "paused_statistics": "surgery.pause",
    "recalibrate_": "surgery.recalibrate",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f".{_HOME[name] or name}", __name__)
    value = getattr(module, name) if _HOME[name] else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
