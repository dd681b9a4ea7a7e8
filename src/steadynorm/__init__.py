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
    from .functional.conventions import convert_stats as convert_stats
    from .pages.explainer import figure as figure
    from .surgery.accumulate import accumulated_statistics as accumulated_statistics
    from .surgery.conversion.convert import convert_ as convert_
    from .surgery.conversion.freeze import freeze_ as freeze_
    from .surgery.conversion.freeze import unfreeze_ as unfreeze_
    from .surgery.folding.biases import drop_redundant_biases_ as drop_redundant_biases_
    from .surgery.folding.fold import fold as fold
    from .surgery.groups import parameter_groups as parameter_groups
    from .surgery.pause import paused_statistics as paused_statistics
    from .surgery.recalibration.recalibrate import recalibrate_ as recalibrate_

__version__ = "0.1.0"

_HOME = {
    "errors": "",
    "functional": "",
    "nn": "",
    "reports": "",
    "accumulated_statistics": "surgery.accumulate",
    "convert_stats": "functional.conventions",
    "convert_": "surgery.conversion.convert",
    "drop_redundant_biases_": "surgery.folding.biases",
    "fold": "surgery.folding.fold",
    "freeze_": "surgery.conversion.freeze",
    "figure": "pages.explainer",
    "parameter_groups": "surgery.groups",
    "paused_statistics": "surgery.pause",
    "recalibrate_": "surgery.recalibration.recalibrate",
    "unfreeze_": "surgery.conversion.freeze",
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
