"""The 25-layer deep linear network of Santurkar et al., at its own size."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import inf, log10

import torch
from torch import Tensor, nn

from ....nn import BatchNorm1d, LpBatchNorm1d
from ...claim import Arm, Outcome, Part, Rounds, Trained, Training, descend, generator

LAYERS, WIDTH, EXAMPLES = 25, 10, 1000
EPS = 1e-5
GIVEN = 1e-6  # the literature's rate

#: The package's layers, by arm; statistics to keep are none, since nothing is evaluated.
NORMS: Mapping[str, Callable[[int], nn.Module] | None] = {
    "plain": None,
    "batch norm": partial(BatchNorm1d, eps=EPS, track_running_stats=False),
    "L1": partial(LpBatchNorm1d, eps=EPS, track_running_stats=False, p=1),
    "L2": partial(LpBatchNorm1d, eps=EPS, track_running_stats=False, p=2),
    "L∞": partial(LpBatchNorm1d, eps=EPS, track_running_stats=False, p=inf),
}


def train(arm: str, rate: float, seeds: Sequence[int], steps: int) -> Training:
    """Descend on ‖W₂₅…W₁x − Ax‖², summed over the examples, all of them in every step."""
    norm = NORMS[arm]
    drawn = [draw(generator(seed)) for seed in seeds]
    x, target, weights = (torch.stack(part) for part in zip(*drawn, strict=True))
    layers = list(weights.unbind(1))  # (seeds, out, in) each
    norms = [norm(len(seeds) * WIDTH) for _ in layers[:-1]] if norm else []  # a seed's features are its own
    parameters = [*(layer.requires_grad_() for layer in layers), *(p for one in norms for p in one.parameters())]

    seen, losses = list[tuple[int, list[float]]](), torch.full((len(seeds),), inf)
    for step in range(steps + 1):
        y = x
        for i, layer in enumerate(layers):
            y = layer @ y
            if i < len(norms):
                y = norms[i](y.view(1, -1, EXAMPLES)).view_as(y)
        losses = (y - target).square().sum((1, 2))
        if step % max(1, steps // 100) == 0:
            seen.append((step, losses.tolist()))
            yield step
            if not losses.isfinite().any():
                break
        if step < steps:
            descend(losses.sum(), parameters, rate)
    return [outcome(arm, loss, [(step, row[i]) for step, row in seen]) for i, loss in enumerate(losses.tolist())]


def draw(random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return examples (features, examples), what the network is to make of them, and its weights."""
    x = torch.randn(WIDTH, EXAMPLES, generator=random)
    target = torch.randn(WIDTH, WIDTH, generator=random) @ x
    limit = (6 / (WIDTH + WIDTH)) ** 0.5  # Glorot & Bengio's uniform initialization
    return x, target, (2 * torch.rand(LAYERS, WIDTH, WIDTH, generator=random) - 1) * limit


def outcome(arm: str, loss: float, line: list[tuple[int, float]]) -> Outcome:
    """Return what came of one seed."""
    if not 0 < loss < inf:
        return {"score": None, "values": {}, "lines": {}}
    return {"score": log10(loss), "values": {}, "lines": {arm: line}}


def compare(outcomes: Mapping[str, Outcome]) -> dict[str, float]:
    """Decimal logarithms of ratios of last losses; a training that diverged counts as an infinite loss."""
    loss = {arm: inf if one["score"] is None else float(one["score"]) for arm, one in outcomes.items()}
    return {
        "log10 of loss, plain over batch norm": loss["plain"] - loss["batch norm"],
        "log10 of loss, plain over batch norm, both at 1e-6": loss["plain at 1e-6"] - loss["batch norm at 1e-6"],
        "log10 of loss, L1 over batch norm": loss["L1"] - loss["batch norm"],
        "log10 of loss, L2 over batch norm": loss["L2"] - loss["batch norm"],
        "log10 of loss, L∞ over batch norm": loss["L∞"] - loss["batch norm"],
        "log10 of loss, plain": loss["plain"],
        "log10 of loss, batch norm": loss["batch norm"],
    }


RATES = (1e-7, 3e-7, 1e-6, 3e-6)
WIDER = (3e-8, *RATES, 1e-5)
SHORT, LONG = 1_000, 10_000

CLAIM = Trained(
    id="trained/linear",
    order=901,
    statement="In a 25-layer linear network batch norm brings the loss to a tenth of the plain network's, and an L1 "
    "norm in place of the deviation brings it lower still.",
    source="Santurkar et al. 2018 (arXiv:1805.11604), Sec. 3.3 and Appendix A, for the network and for L1; that batch "
    "norm comes to a tenth is an expectation of ours",
    literature="no number; L1 ahead of batch norm in deep linear networks",
    covers=("S17",),
    protocol="25 layers of 10×10, Glorot's uniform initialization, 1000 normal examples, target Ax with a normal A, "
    "loss summed over the examples, full-batch descent, 10,000 steps. Normalization after every layer but the last, "
    f"with γ and β; ε = {EPS:g}. L1, L2, L∞: centred, divided by the mean magnitude, the root mean square, the largest "
    f"magnitude of the uncentred values. Each arm takes the best of rates a factor of three apart, by the loss after "
    f"{SHORT} steps; quick ends there. The readings were fixed before any training of the record; the grid then had "
    "3e-8 and 1e-5, too, and was narrowed when the plain network's trainings and the first two of L1 had been seen. L2 "
    "and L∞ were trained last, with all else known; they are shown, and nothing is read from them. Every part by the "
    "mean over the seeds.",
    parts=(
        Part("log10 of loss, plain over batch norm", at_least=1.0, by="mean"),
        Part("log10 of loss, plain over batch norm, both at 1e-6", at_least=1.0, by="mean"),
        Part("log10 of loss, L1 over batch norm", at_most=0.0, by="mean"),
        Part("log10 of loss, L2 over batch norm", role="shown", by="mean"),
        Part("log10 of loss, L∞ over batch norm", role="shown", by="mean"),
        Part("log10 of loss, plain", role="shown", by="mean"),
        Part("log10 of loss, batch norm", role="shown", by="mean"),
    ),
    draws={"smoke": 2, "quick": 3, "full": 5},
    instead="The loss with batch norm is lower by {log10 of loss, plain over batch norm} in decimal logarithms "
    "({log10 of loss, plain over batch norm, both at 1e-6} with both at 1e-6). Against that of batch norm, L1's "
    "differs by {log10 of loss, L1 over batch norm}, L2's by {log10 of loss, L2 over batch norm}, L∞'s by "
    "{log10 of loss, L∞ over batch norm}.",
    arms=(
        *(Arm(name, WIDER if name in ("L2", "L∞") else RATES) for name in NORMS),
        Arm("plain at 1e-6", (GIVEN,), trains="plain"),
        Arm("batch norm at 1e-6", (GIVEN,), trains="batch norm"),
    ),
    rounds={"smoke": Rounds(2, 2, 1), "quick": Rounds(SHORT, SHORT, 2), "full": Rounds(SHORT, LONG, 2)},
    train=train,
    compare=compare,
    chart={"title": "Loss of the linear network, one seed", "x": "step", "y": "loss", "log_x": False, "log_y": True},
)
