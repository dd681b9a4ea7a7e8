"""The letters of the story: one meaning each, wherever it stands.

Whoever touches one on the page sees it light up in the text, in the equations and in the figures, by its key.
"""

import re
from html import escape
from typing import NamedTuple

__all__ = ["LETTERS", "Letter", "is_mathematics", "mark"]


class Letter(NamedTuple):
    """A letter as it is written in the text, and what it means to someone who meets it for the first time."""

    symbol: str
    meaning: str


LETTERS = {
    "x": Letter("x", "a value that enters the normalization"),
    "x-hat": Letter("x̂", "the normalized value"),
    "y": Letter("y", "what the layer puts out"),
    "u": Letter("u", "what enters the layer before"),
    "b": Letter("b", "the bias of the layer before"),
    "W": Letter("W", "the weights of the layer before"),
    "z": Letter("z", "what leaves the nonlinearity"),
    "g": Letter("g", "the nonlinearity"),
    "slope": Letter("g′", "the slope of the nonlinearity"),
    "m": Letter("m", "how many values of one feature the mini-batch holds"),
    "mu": Letter("μ", "the mean of the mini-batch"),
    "sigma": Letter("σ", "the standard deviation of the mini-batch"),
    "gamma": Letter("γ", "the learned scale"),
    "beta": Letter("β", "the learned shift"),
    "epsilon": Letter("ε", "a small constant that keeps the root above zero"),
    "loss": Letter("ℓ", "the loss"),
    "eta": Letter("η", "the learning rate"),
    "mean": Letter("E[x]", "the mean of x over all data"),
    "var": Letter("Var[x]", "the variance of x over all data"),
    "a": Letter("a", "a factor on the weights"),
    "h": Letter("h", "the curvature of a loss"),
    "B": Letter("B", "how many examples the mini-batch holds"),
}
_KEYS = {letter.symbol: key for key, letter in LETTERS.items()}
_SYMBOLS = re.compile("|".join(re.escape(symbol) for symbol in sorted(_KEYS, key=len, reverse=True)))
_WORD = re.compile(r"[A-Za-z]{3,}")


def is_mathematics(text: str) -> bool:
    """Whether an emphasis holds letters (γ, ∂ℓ/∂b, y = γx̂ + β) and no words."""
    return not _WORD.search(text.replace("Var[x]", "").replace("BN", ""))


def mark(text: str) -> str:
    """Write a run of letters as HTML, each known one with its key."""
    html, end = "", 0
    for found in _SYMBOLS.finditer(text):
        html += escape(text[end : found.start()])
        html += f'<var data-letter="{_KEYS[found[0]]}">{escape(found[0])}</var>'
        end = found.end()
    return f'<span class="letters">{html}{escape(text[end:])}</span>'
