"""Feature maps: statistics over batch and positions, one γ and β a map."""

import torch

from ....functional import batch_moments
from ....nn import BatchNorm1d, BatchNorm2d
from ...claim import Drawn, Part, generator, relative


def measure(seed: int) -> dict[str, float]:
    """The layer for maps beside the layer for rows, over the same values."""
    x = torch.randn(6, 5, 7, 4, generator=generator(seed), dtype=torch.float64)
    maps, rows = BatchNorm2d(5).double(), BatchNorm1d(5).double()
    by_rows = rows(x.movedim(1, -1).reshape(-1, 5)).reshape(6, 7, 4, 5).movedim(-1, 1)
    moved = batch_moments(x.roll((2, 1), (2, 3)))
    still = batch_moments(x)
    return {
        "difference from batch norm over N·H·W rows": relative(maps(x), by_rows),
        "difference of the running variances": relative(maps.get_buffer("running_var"), rows.get_buffer("running_var")),
        "parameters for each map": sum(p.numel() for p in maps.parameters()) / 5,
        "change of the statistics when the image moves": max(map(relative, moved[1:], still[1:])),
    }


CLAIM = Drawn(
    id="transform/maps",
    order=305,
    statement="For feature maps of p×q the transform is that of a batch of m·p·q values, with one pair γ, β a map.",
    source="Ioffe & Szegedy 2015, Sec. 3.2; the article, where it goes",
    literature="effective batch m·p·q; 2 parameters a map",
    covers=("S6",),
    protocol="The layer for maps on (6, 5, 7, 4) beside the layer for rows on (168, 5), float64.",
    parts=(
        Part("difference from batch norm over N·H·W rows", at_most=1e-12, literature=0.0),
        Part("difference of the running variances", at_most=1e-12, literature=0.0),
        Part("parameters for each map", 2, 2, literature=2.0),
        Part("change of the statistics when the image moves", at_most=1e-12, literature=0.0),
    ),
    measure=measure,
)
