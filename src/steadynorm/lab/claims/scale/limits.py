"""Where Eq 7 ends: negative factors, and ε."""

import torch

from ....functional import batch_norm
from ...claim import Drawn, Part, generator, relative


def measure(seed: int) -> dict[str, float]:
    """Outputs of a layer whose pre-activations have a variance near 1."""
    random = generator(seed)
    weight = torch.randn(5, 8, generator=random, dtype=torch.float64) / 8**0.5
    x = torch.randn(32, 8, generator=random, dtype=torch.float64) @ weight.T

    def output(a: float, eps: float) -> torch.Tensor:
        return batch_norm(a * x, eps=eps)[0]

    return {
        "change for a = 100, ε = 0": relative(output(100, 0.0), output(1, 0.0)),
        "change for a = −2, ε = 0": relative(output(-2, 0.0), output(1, 0.0)),
        "change for a = 0.01, ε = 1e-5": relative(output(0.01, 1e-5), output(1, 1e-5)),
        "sum of the outputs for a = −2 and a = 1": relative(output(-2, 0.0), -output(1, 0.0)),
        "change for a = 0.01, ε = a²·1e-5": relative(output(0.01, 1e-9), output(1, 1e-5)),
    }


CLAIM = Drawn(
    id="scale/limits",
    order=402,
    statement="BN(Wu) = BN((aW)u) for any scalar a, in layers as they are.",
    source="Ioffe & Szegedy 2015, Sec. 3.3, “for a scalar a”; the article, Eq 7",
    literature="exact",
    covers=("S10", "E6"),
    protocol="Pre-activations of variance near 1, batch of 32, float64; largest change over the largest output.",
    parts=(
        Part("change for a = 100, ε = 0", at_most=1e-6, literature=0.0),
        Part("change for a = −2, ε = 0", at_most=1e-6, literature=0.0),
        Part("change for a = 0.01, ε = 1e-5", at_most=1e-6, literature=0.0),
        Part("sum of the outputs for a = −2 and a = 1", role="shown"),
        Part("change for a = 0.01, ε = a²·1e-5", role="shown"),
    ),
    measure=measure,
    instead="It holds for a > 0 and ε = 0. A negative a flips the sign; and with ε in the root the output changes, "
    "at a = 0.01 by {change for a = 0.01, ε = 1e-5}, since small weights meet an ε that is 1/a² times as large.",
)
