"""When the covariance of a batch has no inverse."""

import torch

from ....functional import batch_covariance
from ...claim import Chart, Drawn, Line, Part, generator

FEATURES = 16


def rank(m: int, seed: int) -> int:
    """Return the rank of the covariance of m examples."""
    x = torch.randn(m, FEATURES, generator=generator(seed), dtype=torch.float64)
    return int(torch.linalg.matrix_rank(batch_covariance(x).cov[0], hermitian=True))


def measure(seed: int) -> dict[str, float]:
    """Ranks around m = d."""
    return {
        "rank at m = 8": rank(8, seed),
        "rank at m = 16, the number of features": rank(16, seed),
        "rank at m = 17": rank(17, seed),
    }


def draw() -> dict[str, Line]:
    """Rank against m."""
    return {"rank": [(m, rank(m, 0)) for m in range(2, 25)]}


CLAIM = Drawn(
    id="whitening/singular",
    order=601,
    statement="A batch's covariance is singular exactly when the batch is no larger than the number of features.",
    source="the article, whitening; Ioffe & Szegedy 2015, Sec. 3, have “smaller than”",
    literature="rank min(m − 1, d)",
    covers=("S5", "E18"),
    protocol=f"{FEATURES} independent normal features, float64; numerical rank of the biased covariance. With m = d "
    "the mean takes one direction away.",
    parts=(
        Part("rank at m = 8", 7, 7, literature=7.0),
        Part("rank at m = 16, the number of features", 15, 15, literature=15.0),
        Part("rank at m = 17", 16, 16, literature=16.0),
    ),
    measure=measure,
    chart=Chart("Rank of a batch's covariance, 16 features", "m", "rank", draw),
)
