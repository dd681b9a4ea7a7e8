"""Batch normalization for PyTorch: layers, equations, tools for whole models, and the evidence.

The public names are resolved on first use (PEP 562), so that ``import steadynorm`` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import errors as errors
    from . import functional as functional
    from . import nn as nn
    from . import reports as reports
    from . import surgery as surgery
    from .doctor.diagnose import diagnose as diagnose
    from .doctor.gap import explain_gap as explain_gap
    from .functional.conventions import convert_stats as convert_stats
    from .pages.explainer import figure as figure
    from .surgery.accumulate import accumulated_statistics as accumulated_statistics
    from .surgery.batch_statistics import batch_statistics as batch_statistics
    from .surgery.biases import drop_redundant_biases_ as drop_redundant_biases_
    from .surgery.convert import convert_ as convert_
    from .surgery.copy import copy_statistics_ as copy_statistics_
    from .surgery.fold import fold as fold
    from .surgery.freeze import freeze_ as freeze_
    from .surgery.freeze import unfreeze_ as unfreeze_
    from .surgery.fuse import fuse as fuse
    from .surgery.groups import parameter_groups as parameter_groups
    from .surgery.merge import assert_synchronized as assert_synchronized
    from .surgery.merge import merge_statistics_ as merge_statistics_
    from .surgery.pause import paused_statistics as paused_statistics
    from .surgery.recalibrate import recalibrate_ as recalibrate_
    from .surgery.single_values import single_values as single_values
    from .surgery.synchronize import desynchronize_ as desynchronize_
    from .surgery.synchronize import synchronize_ as synchronize_

__version__ = "0.2.0"

_HOME = {
    "errors": "",
    "functional": "",
    "nn": "",
    "reports": "",
    "surgery": "",
    "accumulated_statistics": "surgery.accumulate",
    "assert_synchronized": "surgery.merge",
    "batch_statistics": "surgery.batch_statistics",
    "convert_stats": "functional.conventions",
    "convert_": "surgery.convert",
    "copy_statistics_": "surgery.copy",
    "diagnose": "doctor.diagnose",
    "desynchronize_": "surgery.synchronize",
    "drop_redundant_biases_": "surgery.biases",
    "explain_gap": "doctor.gap",
    "fold": "surgery.fold",
    "freeze_": "surgery.freeze",
    "fuse": "surgery.fuse",
    "figure": "pages.explainer",
    "merge_statistics_": "surgery.merge",
    "parameter_groups": "surgery.groups",
    "paused_statistics": "surgery.pause",
    "recalibrate_": "surgery.recalibrate",
    "single_values": "surgery.single_values",
    "synchronize_": "surgery.synchronize",
    "unfreeze_": "surgery.freeze",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{_right_name(name)}")
    module = import_module(f".{_HOME[name] or name}", __name__)
    value = getattr(module, name) if _HOME[name] else module
    globals()[name] = value
    return value


def _right_name(name: str) -> str:
    """Return the nearest right name, as a question; layers are in ``steadynorm.nn``."""
    from ._renamed import nearest

    if name.startswith("_"):
        return ""
    if name == "convert_sync_batchnorm":
        return "; did you mean 'synchronize_'?"
    if "Norm" in name and name in import_module(".nn", __name__).__all__:
        return f"; did you mean 'nn.{name}'?"
    return nearest(name, _HOME)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
