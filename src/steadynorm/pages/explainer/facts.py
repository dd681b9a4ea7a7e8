"""Numbers of the text that belong to no figure, from the library and from the records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["text_facts"]

Record = Mapping[str, Any]


def text_facts() -> dict[str, str]:
    """Return them as they are written."""
    growth = math.pi / (math.pi - 1)  # Yang et al. 2019, Theorem 8, for ReLU and large batches
    return {
        "map_values": f"{32 * 28 * 28:,}",
        "yang": f"{growth:.3f}",
        "yang_50": _power_of_ten(growth**50),
    }


def _power_of_ten(value: float) -> str:
    digits, _, exponent = f"{value:.0e}".partition("e")
    return f"{digits}·10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
