r"""Figure: how the gradient grows on its way down through a network at initialization.

Letters: h a layer's output (m, WIDTH), W its weights; the squared length of ∂ℓ/∂h by layer, relative to the last.
"""

import json
from collections.abc import Callable

import altair as alt
import torch
from markupsafe import Markup
from torch import Tensor

from ... import functional as F
from ...files import results
from .drawing import BLUE, INK, ORANGE, draw, rows
from .frames import Choice, Figure, Slider

__all__ = ["BATCHES", "DRAWS", "LAYER", "LAYERS", "NETWORKS", "WIDTH", "build", "growth", "laws", "squares"]

WIDTH, LAYERS, DRAWS = 192, 24, 2
BATCHES = (8, 32, 128)
LAYER = Slider("layer", "layer", 1, LAYERS, 1, 4)
ENDS = 2  # layers at either end that the factor a layer leaves out

# h, and a layer's weights of variance 1/WIDTH, to the next h
NETWORKS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "with batch norm": lambda h, w: F.batch_norm(h, eps=0.0)[0].relu() @ w.T,
    "and with shortcuts": lambda h, w: h + F.batch_norm(h, eps=0.0)[0].relu() @ w.T,
    "without (He’s weights)": lambda h, w: h.relu() @ (2**0.5 * w).T,
}


def squares(network: Callable[[Tensor, Tensor], Tensor], m: int, seed: int) -> Tensor:
    """The squared gradient of a random linear function of the last layer's output, by layer, (LAYERS,), relative to
    the last; the same weights whatever the network."""
    random = torch.Generator().manual_seed(seed)
    h = torch.randn(m, WIDTH, generator=random, dtype=torch.float64)
    outputs = []
    for _ in range(LAYERS):
        w = torch.randn(WIDTH, WIDTH, generator=random, dtype=torch.float64) / WIDTH**0.5
        h = network(h, w).requires_grad_()
        outputs.append(h)
    direction = torch.randn(m, WIDTH, generator=random, dtype=torch.float64)
    found = torch.stack([g.square().sum() for g in torch.autograd.grad((h * direction).sum(), outputs)])
    return found / found[-1]


def growth(squared: Tensor) -> Tensor:
    """The factor a layer, the geometric mean over all layers but ``ENDS`` at either end; layers come last."""
    return (squared[..., ENDS] / squared[..., -1 - ENDS]) ** (1 / (squared.shape[-1] - 1 - 2 * ENDS))


def laws() -> list[float]:
    """Return the theory's factor a layer for each of ``BATCHES``, from the record of the claim."""
    record = json.loads((results() / "claims" / "landscape" / "depth.json").read_text(encoding="utf-8"))
    factors = {part["quantity"]: part.get("literature") for part in record["parts"]}
    return [factors[f"ReLU, batch of {m}"] for m in BATCHES]


def build() -> Figure:
    """Return the figure: three networks at three sizes of batch, and the law."""
    found = torch.stack(  # (batches, networks, layers): the geometric mean over the draws
        [
            torch.stack([squares(network, m, seed).log() for seed in range(DRAWS)]).mean(0).exp()
            for m in BATCHES
            for network in NETWORKS.values()
        ]
    ).view(len(BATCHES), len(NETWORKS), LAYERS)
    law, factors, layer, last = laws(), growth(found), int(LAYER.start), len(BATCHES) - 1
    told = ", ".join(
        f"{name} {float(value):.3g}" for name, value in zip(NETWORKS, found[last, :, layer - 1], strict=True)
    )
    return Figure(
        name="depth",
        caption=f"Three networks of {LAYERS} layers of {WIDTH} features with ReLUs, just initialized. The squared "
        "length of the gradient at each layer’s output, relative to the last layer’s; it travels from right to left. "
        f"Each line is the mean of {DRAWS} draws on a logarithmic axis, the dotted line is the law for wide networks. "
        "Drag the chart sideways.",
        sentence=f"With batches of {BATCHES[last]}, the squared gradient at layer {layer}, as a multiple of the last "
        f"layer’s: {told}; by the law {law[last] ** (LAYERS - layer):.3g}.",
        picture=_picture(found[last], law[last]),
        controls=(Choice("batch", "examples in the batch, m", tuple(map(str, BATCHES)), last), LAYER),
        arrays={"squares": found, "growth": factors},
        values={"names": list(NETWORKS), "batches": BATCHES, "layers": LAYERS, "laws": law},
        facts={
            "layers": str(LAYERS),
            "shortcuts": f"{float(factors[last, 1]):.2f}",
            "without": f"{float(factors[last, 2]):.2f}",
            "with": f"{float(factors[last, 0]):.2f}",
        },
    )


def _picture(found: Tensor, law: float) -> Markup:
    layers = list(range(1, LAYERS + 1))
    x = alt.X("layer:Q", title="layer", axis=alt.Axis(tickCount=6))
    y = alt.Y("square:Q", title="squared gradient, relative", scale=alt.Scale(type="log"), axis=alt.Axis(tickCount=5))
    looks = ((BLUE, [1, 0]), (BLUE, [9, 3]), (ORANGE, [1, 0]))
    curves = [
        rows(layer=layers, square=values).mark_line(color=colour, strokeDash=dash).encode(x, y)
        for values, (colour, dash) in zip(found, looks, strict=True)
    ]
    theory = rows(layer=layers, square=[law ** (LAYERS - k) for k in layers]).mark_line(color=INK, strokeDash=[1, 3])
    names = rows(layer=[4] * len(NETWORKS), square=found[:, 3], text=list(NETWORKS), dy=[-12, -12, 14]).mark_text(
        align="left", dy=-10
    )
    return draw(
        alt.layer(*curves, theory.encode(x, y), names.encode(x, y, text="text:N")).properties(width=340, height=200)
    )
