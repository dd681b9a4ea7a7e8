"""Numbers of the text that belong to no figure."""

from __future__ import annotations

import math
from .numerals import grouped, scientific

__all__ = ["text_facts"]

def text_facts() -> dict[str, str]:
    """Return them as they are written."""
    growth = math.pi / (math.pi - 1)  # Yang et al. 2019, Theorem 8, for ReLU and large batches
    return {
        "map_values": grouped(32 * 28 * 28),
        "yang": f"{growth:.3f}",
        "yang_50": scientific(growth**50),
    }

