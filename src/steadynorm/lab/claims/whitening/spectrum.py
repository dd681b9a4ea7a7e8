"""Singular values of a normalized layer's Jacobian."""

import torch
from torch import Tensor

from ....functional import fold_affine, whitening_matrix
from ...claim import Chart, Drawn, Line, Part, generator

WIDTH = 256


def spectra(seed: int) -> dict[str, Tensor]:
    """Return the Jacobian's singular values, largest first, with the statistics of a population of white inputs."""
    weight = torch.randn(WIDTH, WIDTH, generator=generator(seed), dtype=torch.float64) / WIDTH**0.5
    cov = weight @ weight.T  # of Wu
    scale, _ = fold_affine(torch.zeros(WIDTH, dtype=torch.float64), cov.diagonal(), eps=0.0)
    jacobians = {
        "without": weight,
        "with batch norm": scale[:, None] * weight,
        "with whitening": whitening_matrix(cov[None], eps=0.0)[0] @ weight,
    }
    return {name: torch.linalg.svdvals(jacobian) for name, jacobian in jacobians.items()}


def measure(seed: int) -> dict[str, float]:
    """How many lie near 1."""
    found = spectra(seed)
    near = {name: float(((s > 0.9) & (s < 1.1)).double().mean()) for name, s in found.items()}
    return {
        "share between 0.9 and 1.1 with batch norm": near["with batch norm"],
        "share between 0.9 and 1.1 with whitening": near["with whitening"],
        "share between 0.9 and 1.1 without": near["without"],
        "largest with batch norm": float(found["with batch norm"][0]),
        "distance from 1 with whitening": float((found["with whitening"] - 1).abs().max()),
    }


def draw() -> dict[str, Line]:
    """Singular values by rank."""
    return {name: list(enumerate(s.tolist()))[::5] for name, s in spectra(0).items()}


CLAIM = Drawn(
    id="whitening/spectrum",
    order=603,
    statement="Where normalized inputs and outputs of a layer are uncorrelated, its Jacobian's singular values are "
    "close to 1, so batch norm may lead to layers of such Jacobians.",
    source="Ioffe & Szegedy 2015, Sec. 3.3, a conjecture; the article, Jacobian",
    literature="close to 1",
    covers=("S11", "E19"),
    protocol=f"A square layer of {WIDTH} normal weights on white inputs, statistics of the population, ε = 0, "
    "float64. Close: nine tenths of the values between 0.9 and 1.1. Gradients over depth (Yang et al. 2019) are "
    "another claim.",
    parts=(
        Part("share between 0.9 and 1.1 with whitening", at_least=0.9),
        Part("share between 0.9 and 1.1 with batch norm", at_least=0.9),
        Part("share between 0.9 and 1.1 without", role="shown"),
        Part("largest with batch norm", role="shown"),
        Part("distance from 1 with whitening", role="shown"),
    ),
    measure=measure,
    instead="The step from the premise to the conclusion is right, and whitening shows it: all singular values are "
    "1. Batch norm does not meet the premise, since it leaves the correlations: a share of "
    "{share between 0.9 and 1.1 with batch norm} lies near 1, as without it ({share between 0.9 and 1.1 without}).",
    chart=Chart("Singular values of one layer's Jacobian", "rank", "singular value", draw),
)
