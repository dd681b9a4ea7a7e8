"""Figure 3: normalize, then scale and shift; and the scale and shift that undo it (Eq 2 and 3).

Letters: as in the paper. The script computes y = γx̂ + β itself, one multiply-add a dot; all else is computed here.
"""

import math

import altair as alt
import torch
from markupsafe import Markup
from torch import Tensor

from ... import functional as F
from .drawing import BLUE, ORANGE, QUIET, draw, rows
from .frames import Choice, Figure, Slider
from .numerals import scientific

__all__ = ["BATCHES", "BETA", "EPS", "GAMMA", "batches", "build", "density"]

EPS = 1e-5
GAMMA = Slider("gamma", "scale γ", -3.0, 3.0, 0.05, 1.5, continuous=True, letter="gamma")
BETA = Slider("beta", "shift β", -4.0, 4.0, 0.05, -1.0, continuous=True, letter="beta")
BATCHES = ("off centre", "wide", "narrow", "lopsided")


def batches() -> Tensor:
    """Four mini-batches of 48 values, (4, 48), float32: of other means, spreads and shapes."""
    generator = torch.Generator().manual_seed(11)
    draws = torch.randn(4, 48, generator=generator)
    lopsided = -3.4 + 0.9 * draws[3].square()
    return torch.stack([2.6 + 0.8 * draws[0], -0.5 + 2.2 * draws[1], -2.5 + 0.25 * draws[2], lopsided])


def density(x_hat: Tensor, at: Tensor) -> Tensor:
    r"""The kernel estimate of the density of :math:`\hat x` at the points ``at``, with Silverman's bandwidth.

    .. math:: \hat f(t) = \frac1{mh}\sum_i \varphi\Big(\frac{t - \hat x_i}h\Big), \qquad h = 1.06\, m^{-1/5}

    Scale and shift carry it along: that of :math:`\gamma\hat x + \beta` is :math:`\hat f((t - \beta)/\gamma)/|\gamma|`.
    """
    h = 1.06 / math.pow(len(x_hat), 0.2)
    kernel = torch.exp(-0.5 * ((at[:, None] - x_hat) / h).square()) / math.sqrt(2 * math.pi)
    return kernel.mean(-1) / h


def build() -> Figure:
    """Return the figure: for each mini-batch its x, x̂, μ, σ, and the γ, β that give x back."""
    x = batches()
    outcomes = [F.batch_norm(one[:, None], eps=EPS) for one in x]
    x_hat = torch.stack([y.flatten() for y, _ in outcomes])
    moments = [moments for _, moments in outcomes]
    identity = [F.identity_affine(one, eps=EPS) for one in moments]
    back = [
        F.batch_norm(one[:, None], gamma, beta, eps=EPS)[0].flatten()
        for one, (gamma, beta) in zip(x, identity, strict=True)
    ]
    error = (torch.stack(back) - x).abs().amax(-1)
    mean = torch.cat([one.mean for one in moments])
    sigma = torch.cat([one.var for one in moments]).sqrt()
    grid = torch.linspace(-4, 4, 81)
    std = torch.stack([F.batch_moments(one[:, None]).var.sqrt()[0] for one in x_hat])
    beta = f"−{-BETA.start:g}" if BETA.start < 0 else f"{BETA.start:g}"
    facts = {"error": scientific(float(error.max())), "eps": scientific(EPS)}
    return Figure(
        name="affine",
        caption="One mini-batch of 48 values on three lines, with their density; a thread follows each value. Drag the "
        "dot on the lowest line to shift y, and either end of its bar to scale it.",
        sentence=f"A batch of mean {mean[0]:.2f} and std {sigma[0]:.2f} becomes one of mean 0 and std 1, and by "
        f"γ = {GAMMA.start} and β = {beta} one of mean {beta} and std {GAMMA.start}. "
        f"γ = {identity[0][0][0]:.2f} and β = {identity[0][1][0]:.2f} would give x back.",
        picture=_picture(x[0], x_hat[0]),
        controls=(GAMMA, BETA, Choice("batch", "mini-batch x", BATCHES)),
        arrays={
            "x": x,
            "x_hat": x_hat,
            "mean": mean,
            "sigma": sigma,
            "std": std,
            "error": error,
            "identity": torch.stack([torch.cat(pair) for pair in identity]),
        },
        places={"grid": grid, "density": torch.stack([density(one, grid) for one in x_hat])},
        facts=facts,
    )


def _picture(x: Tensor, x_hat: Tensor) -> Markup:
    y = GAMMA.start * x_hat + BETA.start
    names, colours = ("x", "x̂", "y = γx̂ + β"), (ORANGE, QUIET, BLUE)
    layers = [
        rows(value=values, line=[name] * len(values))
        .mark_tick(color=colour, thickness=2, size=24, opacity=0.7)
        .encode(
            alt.X("value:Q", title=None, scale=alt.Scale(domain=[-8, 8])),
            alt.Y("line:N", title=None, sort=list(names), scale=alt.Scale(domain=names)),
        )
        for values, name, colour in zip((x, x_hat, y), names, colours, strict=True)
    ]
    return draw(alt.layer(*layers).properties(width=340, height=150))
