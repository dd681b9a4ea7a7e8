"""When γ = √Var, β = E gives the input back."""

import torch

from ....functional import batch_moments, batch_norm, identity_affine
from ...claim import Drawn, Part, generator, relative


def measure(seed: int) -> dict[str, float]:
    """A batch, and the next one of the same distribution."""
    x, following = torch.randn(2, 32, 3, generator=generator(seed), dtype=torch.float64) * 2 + 1
    eps = 1e-5
    moments = batch_moments(x)
    exact = identity_affine(moments, eps=eps)
    return {
        "error with ε in γ's root": relative(batch_norm(x, *exact, eps=eps)[0], x),
        "error with γ as printed": relative(batch_norm(x, moments.var.sqrt(), moments.mean, eps=eps)[0], x),
        "error on the next batch": relative(batch_norm(following, *exact, eps=eps)[0], following),
    }


CLAIM = Drawn(
    id="transform/identity",
    order=302,
    statement="With γ = √Var[x] and β = E[x] batch norm gives its input back, so nothing is lost.",
    source="Ioffe & Szegedy 2015, Sec. 3; the article, Eq 3",
    literature="exact",
    covers=("S4",),
    protocol="32 values of 3 features, float64, ε = 1e-5; largest error over the largest input. Exact: 1e-12.",
    parts=(
        Part("error with ε in γ's root", at_most=1e-12, literature=0.0),
        Part("error with γ as printed", at_most=1e-12, literature=0.0),
        Part("error on the next batch", at_most=1e-12, literature=0.0),
    ),
    measure=measure,
    instead="It is exact with γ = √(Var[x] + ε), and for the batch of these statistics only: as printed it misses by "
    "{error with γ as printed}, and the next batch has other statistics and misses by {error on the next batch}.",
)
