"""Which variance frameworks store."""

import torch

from ....functional import batch_moments
from ....functional.conventions import CONVENTIONS
from ...claim import Drawn, Part, generator

#: Beside those of :data:`CONVENTIONS`: Caffe (batch_norm_layer.cpp, bias_correction_factor), and MLX since its pull
#: request 3817.
UNBIASED = {name: convention.unbiased for name, convention in CONVENTIONS.items()} | {"caffe": True, "mlx": True}


def measure(seed: int) -> dict[str, float]:
    """One batch of four, through torch's own layer and by the others' formulas."""
    x = torch.randn(4, 1, generator=generator(seed), dtype=torch.float64)
    layer = torch.nn.BatchNorm1d(1, momentum=1.0, dtype=torch.float64)
    layer(x)
    moments = batch_moments(x)
    stored = {name: moments.unbiased_var if unbiased else moments.var for name, unbiased in UNBIASED.items()}
    return {
        "stored by torch over the biased variance": float(layer.get_buffer("running_var") / moments.var),
        "share of frameworks that store the biased variance": sum(
            float(var / moments.var) < 1.001 for var in stored.values()
        )
        / len(stored),
    }


_THOSE = ", ".join(sorted(name for name, unbiased in UNBIASED.items() if not unbiased))

CLAIM = Drawn(
    id="statistics/frameworks",
    order=505,
    statement="Most frameworks keep a moving average of the biased variance, torch among them.",
    source="the article, Eq 5; its own code stores the unbiased one",
    literature="most",
    covers=("S8", "E3"),
    protocol="One batch of four. torch is measured: its buffer with momentum 1. The others are computed by the "
    f"formula that their sources give (steadynorm.functional.conventions, and Caffe and MLX): biased in {_THOSE}; "
    f"unbiased in {', '.join(sorted(name for name, unbiased in UNBIASED.items() if unbiased))}. TensorFlow is "
    "counted by its fused kernel, the one that serves images; a list of other frameworks has another share. Most: "
    "more than half.",
    parts=(
        Part("stored by torch over the biased variance", 0.999, 1.001),
        Part("share of frameworks that store the biased variance", at_least=0.501),
    ),
    measure=measure,
    instead="torch stores {stored by torch over the biased variance} times the biased variance at m = 4, the "
    "unbiased one; of eight frameworks a share of {share of frameworks that store the biased variance} stores the "
    "biased one.",
)
