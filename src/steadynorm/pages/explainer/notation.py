"""Just enough of mathematical notation for seven equations, written once as MathML and as LaTeX."""

from __future__ import annotations

from dataclasses import dataclass

from .letters import LETTERS

__all__ = ["Math", "bracket", "frac", "hat", "letter", "number", "op", "paren", "power", "root", "row", "sub", "total"]


@dataclass(frozen=True)
class Math:
    """A formula in both languages, and the keys of the letters that it uses, in their order."""

    mathml: str
    latex: str
    keys: tuple[str, ...] = ()


def row(*parts: Math | str) -> Math:
    """Put formulas side by side; a text is an operator."""
    formulas = [op(part) if isinstance(part, str) else part for part in parts]
    mathml = "".join(one.mathml for one in formulas)
    latex = " ".join(one.latex for one in formulas)
    return Math(f"<mrow>{mathml}</mrow>", latex, _keys(*formulas))


def _keys(*parts: Math) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for part in parts for key in part.keys))


_LATEX = {"−": "-", "·": r"\cdot", "⇒": r"\;\Rightarrow\;", "∂": r"\partial ", "Δ": r"\Delta "}


def op(sign: str) -> Math:
    """An operator, or another sign that is no letter of the story."""
    tag = "mi" if sign in "∂Δ" or sign.isalpha() else "mo"
    latex = _LATEX.get(sign, rf"\mathrm{{{sign}}}" if len(sign) > 1 and sign.isalpha() else sign)
    return Math(f"<{tag}>{sign}</{tag}>", latex)


def number(value: int) -> Math:
    """A whole number."""
    return Math(f"<mn>{value}</mn>", str(value))


_GREEK = {"mu": r"\mu", "sigma": r"\sigma", "gamma": r"\gamma", "beta": r"\beta", "epsilon": r"\epsilon"}


def letter(key: str, formula: Math | None = None) -> Math:
    """A letter of the story by its key; or a formula that stands for that letter, index and hat included."""
    if formula is None:
        symbol = LETTERS[key].symbol
        formula = Math(f"<mi>{symbol}</mi>", {"loss": r"\ell"}.get(key, _GREEK.get(key, symbol)))
    return Math(f'<mrow data-letter="{key}">{formula.mathml}</mrow>', formula.latex, (key,))


def sub(base: Math, index: Math) -> Math:
    """An index below."""
    return Math(f"<msub>{base.mathml}{index.mathml}</msub>", f"{{{base.latex}}}_{{{index.latex}}}", base.keys)


def power(base: Math, exponent: Math) -> Math:
    """An exponent above."""
    return Math(f"<msup>{base.mathml}{exponent.mathml}</msup>", f"{{{base.latex}}}^{{{exponent.latex}}}", base.keys)


def hat(base: Math) -> Math:
    """A hat."""
    return Math(f"<mover>{base.mathml}<mo>^</mo></mover>", rf"\hat{{{base.latex}}}", base.keys)


def frac(above: Math, below: Math) -> Math:
    """A fraction."""
    mathml = f"<mfrac>{above.mathml}{below.mathml}</mfrac>"
    return Math(mathml, rf"\frac{{{above.latex}}}{{{below.latex}}}", _keys(above, below))


def root(inside: Math) -> Math:
    """A square root."""
    return Math(f"<msqrt>{inside.mathml}</msqrt>", rf"\sqrt{{{inside.latex}}}", inside.keys)


def paren(inside: Math) -> Math:
    """Round brackets."""
    return Math(f"<mrow><mo>(</mo>{inside.mathml}<mo>)</mo></mrow>", rf"\left({inside.latex}\right)", inside.keys)


def bracket(name: Math, inside: Math) -> Math:
    """A function's name before square brackets, as in E[x]."""
    mathml = f"<mrow>{name.mathml}<mo>[</mo>{inside.mathml}<mo>]</mo></mrow>"
    return Math(mathml, rf"{name.latex}\left[{inside.latex}\right]", inside.keys)


def total(index: Math) -> Math:
    """A sum over an index."""
    return Math(f"<munder><mo>∑</mo>{index.mathml}</munder>", rf"\sum_{{{index.latex}}}")
