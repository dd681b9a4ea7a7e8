"""Streams that cannot encode what we print, as under ``LC_ALL=C``, get plain characters instead of an error."""

import codecs
import unicodedata
from typing import TextIO

__all__ = ["speak_plainly"]

PLAIN = str.maketrans(
    {
        **{"×": "x", "·": "*", "−": "-", "–": "-", "—": "-", "…": "...", "±": "+-", "≤": "<=", "≥": ">=", "≠": "!="},
        **{"→": "->", "←": "<-", "√": "sqrt", "∞": "inf", "∂": "d", "∇": "grad ", "Σ": "sum", "ℓ": "l"},
        **{"“": '"', "”": '"', "‘": "'", "’": "'", "│": "|", "─": "-"},
        **{"α": "alpha", "β": "beta", "γ": "gamma", "ε": "eps", "λ": "lambda", "μ": "mu", "ρ": "rho", "σ": "sigma"},
    }
)


def speak_plainly(*streams: TextIO) -> None:
    """Let each stream write a plain stand-in for every character that its encoding does not have."""
    codecs.register_error("steadynorm.plain", _plainly)
    for stream in streams:
        if hasattr(stream, "reconfigure") and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors="steadynorm.plain")


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = unicodedata.normalize("NFKD", error.object[error.start : error.end].translate(PLAIN)).translate(PLAIN)
    letters = (c for c in text if not unicodedata.combining(c))
    return "".join(c if c.isascii() else "?" for c in letters), error.end
