"""Layer, instance and group norm as one another, and as batch norm of one image."""

import torch
from torch.nn import functional as F

from ....functional import batch_norm
from ...claim import Drawn, Part, generator, relative


def measure(seed: int) -> dict[str, float]:
    """torch's layer, instance and group norm beside one another and ours."""
    x = torch.randn(4, 6, 5, 3, generator=generator(seed), dtype=torch.float64)
    instance = F.instance_norm(x)
    single = torch.cat([batch_norm(image[None], eps=1e-5)[0] for image in x])
    groups = batch_norm(x.reshape(1, 4 * 2, 3 * 5 * 3), eps=1e-5)[0].reshape(x.shape)
    return {
        "group norm of one group less layer norm": relative(F.group_norm(x, 1), F.layer_norm(x, x.shape[1:])),
        "group norm of C groups less instance norm": relative(F.group_norm(x, 6), instance),
        "batch norm of single images less instance norm": relative(single, instance),
        "group norm less batch norm over its groups": relative(F.group_norm(x, 2), groups),
    }


CLAIM = Drawn(
    id="transform/relatives",
    order=306,
    statement="Group norm is layer norm with one group and instance norm with as many as features; batch norm of one "
    "image, in training, is instance norm.",
    source="Wu & He 2018 (arXiv:1803.08494), Sec. 3.1; the article, small batches",
    literature="exact",
    covers=("S18",),
    protocol="(4, 6, 5, 3) of normal values, no γ and β, ε = 1e-5, float64; group, layer and instance norm are "
    "torch's.",
    parts=(
        Part("group norm of one group less layer norm", at_most=1e-12, literature=0.0),
        Part("group norm of C groups less instance norm", at_most=1e-12, literature=0.0),
        Part("batch norm of single images less instance norm", at_most=1e-12, literature=0.0),
        Part("group norm less batch norm over its groups", at_most=1e-12, literature=0.0),
    ),
    measure=measure,
)
