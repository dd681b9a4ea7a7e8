"""No normalized value is larger than √(m−1)."""

import torch

from ....functional import batch_norm
from ...claim import Drawn, Part, generator

SIZES = (2, 3, 8, 32, 256)


def measure(seed: int) -> dict[str, float]:
    """Batches of several sizes, normal and heavy-tailed, and one with a single outlier."""
    random, largest, attained = generator(seed), [], []
    for m in SIZES:
        normal = torch.randn(m, 100, generator=random, dtype=torch.float64)
        heavy = torch.empty(m, 100, dtype=torch.float64).cauchy_(generator=random)
        outlier = torch.zeros(m, 1, dtype=torch.float64).index_fill(0, torch.tensor(0), 1.0)
        reached = [float(batch_norm(x, eps=0.0)[0].abs().max()) / (m - 1) ** 0.5 for x in (normal, heavy, outlier)]
        largest.append(max(reached))
        attained.append(reached[2])
    return {"largest |x̂| over √(m−1)": max(largest), "that of a single outlier": min(attained)}


CLAIM = Drawn(
    id="transform/bound",
    order=303,
    statement="No normalized value is larger than √(m−1), and a single outlier comes to it.",
    source="elementary, from Eq 2: the m values have mean 0 and mean square 1",
    literature="√(m−1)",
    covers=("S3", "E7"),
    protocol=f"m of {', '.join(map(str, SIZES))}; 100 features of normal and of Cauchy values each, and one value of "
    "1 among zeros; ε = 0, float64.",
    parts=(
        Part("largest |x̂| over √(m−1)", at_most=1 + 1e-9, literature=1.0),
        Part("that of a single outlier", at_least=1 - 1e-9, literature=1.0),
    ),
    measure=measure,
)
