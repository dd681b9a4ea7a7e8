"""The numbers that the story quotes: each figure's under its name, and under ``text`` those that belong to none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .frames import Figure
from .numerals import grouped, scientific

__all__ = ["all_facts"]


def all_facts(figures: Sequence[Figure]) -> dict[str, Mapping[str, Any]]:
    """Return them as they are written."""
    growth = math.pi / (math.pi - 1)  # Yang et al. 2019, Theorem 8, for ReLU and large batches
    text = {
        "map_values": grouped(32 * 28 * 28),
        "yang": f"{growth:.3f}",
        "yang_50": scientific(growth**50),
        "yang_50_length": grouped(round(growth**25, -3)),
    }
    return {figure.name: figure.facts for figure in figures} | {"text": text}
