"""How many parameters the paper's table has."""

import torch

from ...claim import Drawn, Part
from ...network import Network, NetworkOptions
from ...table import Stem


def count(stem: Stem, *, batch_norm: bool = True) -> int:
    """Return the parameters of the network for 1000 classes."""
    with torch.device("meta"):
        network = Network(NetworkOptions(classes=1000, stem=stem, batch_norm=batch_norm))
    return sum(parameter.numel() for parameter in network.parameters())


def measure(seed: int) -> dict[str, float]:
    """Nothing is drawn: every draw is the same."""
    return {
        "millions of parameters, from the table": count("paper") / 1e6,
        "with a full first convolution": count("paper-full") / 1e6,
        "without batch norm": count("paper-full", batch_norm=False) / 1e6,
    }


CLAIM = Drawn(
    id="network/parameters",
    order=801,
    statement="The network of the paper's layer table has 13.6 million parameters.",
    source="Ioffe & Szegedy 2015, Sec. 4.2, and its Figure 5; the article, the ladder",
    literature="13.6 million",
    covers=("S14",),
    protocol="The table with its widths taken literally, built for 1000 classes and counted; convolutions in front "
    "of batch norm have no bias. Right: within 1 %.",
    parts=(
        Part("millions of parameters, from the table", 13.464, 13.736, literature=13.6),
        Part("with a full first convolution", role="shown"),
        Part("without batch norm", role="shown"),
    ),
    measure=measure,
    draws={"smoke": 1, "quick": 1, "full": 1},
    instead="The table gives {millions of parameters, from the table} million. What the stated number counts cannot "
    "be told from the paper; widths were not tuned to meet it.",
)
