"""Equations 1 to 7, numbered as the docstrings of this package cite them.

Sources: Ioffe & Szegedy 2015: Sec. 2 (1), Algorithm 1 (2), Sec. 3 (3 and 4), Algorithm 2, lines 10 and 11 (5 and 6),
Sec. 3.3 (7).
"""

from typing import NamedTuple

from .notation import Math, bracket, frac, hat, letter, number, op, paren, power, root, row, sub, total

__all__ = ["EQUATIONS", "Equation"]


class Equation(NamedTuple):
    """What a numbered equation says, line by line: the formula, and a few words."""

    title: str
    lines: tuple[tuple[Math, str], ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """The letters of the equation, in the order in which they appear."""
        return tuple(dict.fromkeys(key for formula, _ in self.lines for key in formula.keys))


_i, _one, _two = op("i"), number(1), number(2)
_batch = op("B")
_x, _y, _u, _b, _W = (letter(key) for key in ("x", "y", "u", "b", "W"))
_m, _gamma, _beta, _epsilon, _a = (letter(key) for key in ("m", "gamma", "beta", "epsilon", "a"))
_hat_x = letter("x-hat", hat(op("x")))
_x_i, _y_i = (letter(key, sub(op(key), _i)) for key in ("x", "y"))
_hat_x_i = letter("x-hat", sub(hat(op("x")), _i))
_mu = letter("mu", sub(Math("<mi>μ</mi>", r"\mu"), _batch))
_variance = letter("sigma", Math("<msubsup><mi>σ</mi><mi>B</mi><mn>2</mn></msubsup>", r"\sigma_B^2"))
_mean = letter("mean", bracket(op("E"), op("x")))
_var = letter("var", bracket(op("Var"), op("x")))
_sum = total(_i)
_root = root(row(_variance, "+", _epsilon))


def _d(of: Math, by: Math) -> Math:
    return frac(row("∂", of), row("∂", by))


def _mean_of(inside: Math) -> Math:
    return letter("mean", bracket(op("E"), inside))


def _mean_over_batches(inside: Math) -> Math:
    return bracket(sub(op("E"), _batch), inside)


def _bn(inside: Math) -> Math:
    return row("BN", paren(inside))


_loss = letter("loss")
_loss_by = {name: _d(_loss, of) for name, of in (("y", _y_i), ("x-hat", _hat_x_i), ("x", _x_i))}
_by_variance, _by_mu = _d(_loss, _variance), _d(_loss, _mu)
_step = row(_b, "+", row("Δ", _b))
_minus_three_halves = Math(
    "<mrow><mo>−</mo><mn>3</mn><mo>/</mo><mn>2</mn></mrow>",
    "-3/2",
)

EQUATIONS = {
    1: Equation(
        "A bias that the mean takes out again",
        (
            (row(_hat_x, "=", _x, "−", _mean, ",", _x, "=", _u, "+", _b), "add a bias, subtract the mean"),
            (
                row(
                    _u,
                    "+",
                    _step,
                    "−",
                    _mean_of(row(_u, "+", _step)),
                    "=",
                    _u,
                    "+",
                    _b,
                    "−",
                    _mean_of(row(_u, "+", _b)),
                ),
                "a step of the bias changes nothing",
            ),
        ),
    ),
    2: Equation(
        "Batch normalization",
        (
            (row(_mu, "=", frac(_one, _m), _sum, _x_i), "mean of the mini-batch"),
            (
                row(_variance, "=", frac(_one, _m), _sum, power(paren(row(_x_i, "−", _mu)), _two)),
                "variance of the mini-batch",
            ),
            (row(_hat_x_i, "=", frac(row(_x_i, "−", _mu), _root)), "normalize"),
            (row(_y_i, "=", _gamma, _hat_x_i, "+", _beta), "scale and shift"),
        ),
    ),
    3: Equation(
        "The identity",
        ((row(_gamma, "=", root(_var), ",", _beta, "=", _mean, "⇒", _y, "=", _x), "scale and shift undo it"),),
    ),
    4: Equation(
        "The gradient through the batch",
        (
            (row(_loss_by["x-hat"], "=", _loss_by["y"], "·", _gamma), "through the scale"),
            (
                row(
                    _by_variance,
                    "=",
                    _sum,
                    _loss_by["x-hat"],
                    "·",
                    paren(row(_x_i, "−", _mu)),
                    "·",
                    paren(row("−", frac(_one, _two))),
                    power(paren(row(_variance, "+", _epsilon)), _minus_three_halves),
                ),
                "what the variance did",
            ),
            (
                row(
                    _by_mu,
                    "=",
                    _sum,
                    _loss_by["x-hat"],
                    "·",
                    frac(row("−", _one), _root),
                    "+",
                    _by_variance,
                    "·",
                    frac(row(_sum, "−", _two, paren(row(_x_i, "−", _mu))), _m),
                ),
                "what the mean did",
            ),
            (
                row(
                    _loss_by["x"],
                    "=",
                    _loss_by["x-hat"],
                    "·",
                    frac(_one, _root),
                    "+",
                    _by_variance,
                    "·",
                    frac(row(_two, paren(row(_x_i, "−", _mu))), _m),
                    "+",
                    _by_mu,
                    "·",
                    frac(_one, _m),
                ),
                "three paths into each value",
            ),
            (row(_d(_loss, _gamma), "=", _sum, _loss_by["y"], "·", _hat_x_i), "for the scale"),
            (row(_d(_loss, _beta), "=", _sum, _loss_by["y"]), "for the shift"),
        ),
    ),
    5: Equation(
        "Population statistics",
        (
            (row(_mean, "=", _mean_over_batches(_mu)), "average the means"),
            (
                row(_var, "=", frac(_m, row(_m, "−", _one)), "·", _mean_over_batches(_variance)),
                "average the variances, made unbiased",
            ),
        ),
    ),
    6: Equation(
        "One affine map",
        (
            (
                row(
                    _y,
                    "=",
                    frac(_gamma, root(row(_var, "+", _epsilon))),
                    "·",
                    _x,
                    "+",
                    paren(row(_beta, "−", frac(row(_gamma, _mean), root(row(_var, "+", _epsilon))))),
                ),
                "a slope and an offset for each feature",
            ),
        ),
    ),
    7: Equation(
        "Scale invariance",
        (
            (row(_bn(row(_W, _u)), "=", _bn(row(paren(row(_a, _W)), _u))), "the same output"),
            (
                row(
                    _d(_bn(row(paren(row(_a, _W)), _u)), _u),
                    "=",
                    _d(_bn(row(_W, _u)), _u),
                ),
                "the same gradient further down",
            ),
            (
                row(
                    _d(_bn(row(paren(row(_a, _W)), _u)), paren(row(_a, _W))),
                    "=",
                    frac(_one, _a),
                    "·",
                    _d(_bn(row(_W, _u)), _W),
                ),
                "a shorter gradient for larger weights",
            ),
        ),
    ),
}
