"""Batch norm keeps a batch on the slope at every drift."""

import torch

from ....functional import batch_norm
from ...claim import NOISY, Chart, Drawn, Line, Part, generator
from .slopes import slope

DRIFTS = [drift / 2 for drift in range(13)]


def mean_slopes(seed: int) -> tuple[list[float], list[float]]:
    """Return the mean slope of a batch of 256 at each drift, without and with batch norm."""
    noise = torch.randn(256, 1, generator=generator(seed), dtype=torch.float64)
    plain = [float(slope(noise + drift).mean()) for drift in DRIFTS]
    normalized = [float(slope(batch_norm(noise + drift, eps=1e-5)[0]).mean()) for drift in DRIFTS]
    return plain, normalized


def measure(seed: int) -> dict[str, float]:
    """One batch, drifted from 0 to 6."""
    plain, normalized = mean_slopes(seed)
    return {
        "mean slope at drift 6 without batch norm": plain[-1],
        "least mean slope over the drifts with batch norm": min(normalized),
        "mean slope at drift 3 without batch norm": plain[6],
    }


def draw() -> dict[str, Line]:
    """Mean slope against drift."""
    plain, normalized = mean_slopes(0)
    return {
        "without batch norm": list(zip(DRIFTS, plain, strict=True)),
        "with batch norm": list(zip(DRIFTS, normalized, strict=True)),
    }


CLAIM = Drawn(
    id="saturation/restored",
    order=103,
    statement="However far its inputs drift, batch norm keeps the batch where the sigmoid has its slope.",
    source="the article, Figure 1; Ioffe & Szegedy 2015, Sec. 3.2",
    literature="no number; the reading asks for 0.15 with batch norm against 0.05 without",
    covers=("S1",),
    protocol="Batches of 256 normal values of deviation 1, shifted by 0 to 6; mean of the sigmoid's derivative. "
    "Batches alone: trained sigmoid networks are another claim.",
    parts=(
        Part("mean slope at drift 6 without batch norm", at_most=0.05, by="mean"),
        Part("least mean slope over the drifts with batch norm", at_least=0.15, by="mean"),
        Part("mean slope at drift 3 without batch norm", role="shown", by="mean"),
    ),
    measure=measure,
    draws=NOISY,
    chart=Chart("Slope left to a drifting batch", "drift", "mean slope", draw),
)
