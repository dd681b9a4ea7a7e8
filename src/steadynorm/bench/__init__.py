"""How speed is measured here, and our own cases. Peers and their cases are in ``benchmarks/``."""

from .cases import LAYER_CASES, LayerCase, TorchLayers, compare_layers, geometric_mean, rows
from .timing import Timing, interleave

__all__ = [
    "LAYER_CASES",
    "LayerCase",
    "Timing",
    "TorchLayers",
    "compare_layers",
    "geometric_mean",
    "interleave",
    "rows",
]
