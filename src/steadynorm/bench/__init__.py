"""How speed is measured here, and our own cases. Peers and their cases are in ``benchmarks/``."""

from .cases import LAYER_CASES, LayerCase, compare_layers
from .timing import Timing, interleave

__all__ = ["LAYER_CASES", "LayerCase", "Timing", "compare_layers", "interleave"]
