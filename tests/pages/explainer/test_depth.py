"""Depth: the gradients against a backward pass of this file, and the law against the theory's limit."""

import math

import numpy as np
import pytest
import torch
from playwright.sync_api import Page

from browsing import read
from steadynorm.pages.explainer import depth as it

NAMES = list(it.NETWORKS)


def squares(kind: int, m: int, seed: int) -> np.ndarray:
    """The squared gradients, relative to the last: forward and backward written out."""
    random = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> np.ndarray:
        return torch.randn(*shape, generator=random, dtype=torch.float64).numpy()

    h, kept = draw(m, it.WIDTH), []
    for _ in range(it.LAYERS):
        w = draw(it.WIDTH, it.WIDTH) / math.sqrt(it.WIDTH)
        if kind == 2:
            z, sigma, w = h, None, w * math.sqrt(2)
        else:
            sigma = h.std(0)
            z = (h - h.mean(0)) / sigma
        kept.append((z, sigma, w))
        h = np.maximum(z, 0) @ w.T + (h if kind == 1 else 0)
    g = draw(m, it.WIDTH)
    found = [np.sum(g**2)]
    for z, sigma, w in kept[:0:-1]:
        d = (g @ w) * (z > 0)
        if sigma is not None:
            d = (d - d.mean(0) - z * (d * z).mean(0)) / sigma
        g = d + (g if kind == 1 else 0)
        found.append(np.sum(g**2))
    return np.array(found[::-1]) / found[0]


@pytest.mark.parametrize("m", it.BATCHES)
def test_gradients(page: Page, m: int) -> None:
    expected = [np.exp(np.mean([np.log(squares(k, m, seed)) for seed in range(it.DRAWS)], 0)) for k in range(3)]
    states = [{"batch": it.BATCHES.index(m), "layer": layer} for layer in (1, 9, 24)]
    for state, shown in zip(states, read(page, "depth", states), strict=True):
        for k in range(3):
            value = expected[k][state["layer"] - 1]
            assert float(shown[str(k)][0]) == pytest.approx(value, rel=1e-5)
            factor = (expected[k][it.ENDS] / expected[k][-1 - it.ENDS]) ** (1 / (it.LAYERS - 1 - 2 * it.ENDS))
            assert f"(×{factor:.2f} a layer)" in shown[str(k)][1]
        assert f"layer {state['layer']}," in shown["sentence"]


def test_batch_norm_follows_the_law_and_the_others_do_not(page: Page) -> None:
    laws = it.laws()
    assert laws == sorted(laws, reverse=True)
    assert laws[-1] == pytest.approx(math.pi / (math.pi - 1), rel=0.01)
    for batch, law in enumerate(laws):
        (shown,) = read(page, "depth", [{"batch": batch, "layer": 1}])
        assert float(shown["law"][0]) == pytest.approx(law ** (it.LAYERS - 1), rel=1e-9)
        grown = [float(shown[str(k)][0]) for k in range(3)]
        assert 0.5 < grown[0] / law ** (it.LAYERS - 1) < 2
        assert grown[0] > 50 * grown[1] > 50 * grown[2]


def test_every_line_is_drawn_at_its_numbers(page: Page) -> None:
    read(page, "depth", [{"batch": 1, "layer": 3}])
    figure = "document.getElementById('depth')"
    for k in range(3):
        path = page.evaluate(f"{figure}.lines[{k}].getAttribute('d')")
        ys = [float(pair.split()[1]) for pair in path.removeprefix("M").split("L")]
        wanted = page.evaluate(
            f"k => Array.from({{length: 24}}, (_, i) => "
            f"{figure}.panel.y(Math.log10({figure}.arrays.squares.at(1, k, i))))",
            k,
        )
        assert ys == pytest.approx(wanted, abs=0.01)


def test_a_constant_factor_is_the_growth() -> None:
    assert it.growth(1.5 ** torch.arange(24, 0, -1, dtype=torch.float64)).item() == pytest.approx(1.5)
    assert NAMES[0] == "with batch norm"
