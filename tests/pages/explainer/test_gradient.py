"""The gradient through the batch: what the page shows, against the library's six formulas and autograd."""

import numpy as np
import pytest
import torch
from playwright.sync_api import Page

import steadynorm.functional as F
from browsing import read
from steadynorm.pages.explainer import gradient

NAMES = [f"x{k}" for k in range(1, 9)]


def states() -> list[dict]:
    """Every push, over batches far apart, close together, and with all but one value the same."""
    random = np.random.default_rng(0)
    batches = [gradient.START, *(random.uniform(-4, 4, (6, 8)).round(2)), random.uniform(-0.1, 0.1, 8).round(2)]
    batches += [[1.0] * 7 + [-3.0], [0.5] * 8]
    on_grid = [dict(zip(NAMES, (round(v * 20) / 20 for v in batch), strict=True)) for batch in batches]
    return [one | {"push": push, "example": k} for k, one in enumerate(on_grid[:8]) for push in range(4)] + [
        one | {"push": push, "example": 7} for one in on_grid[8:] for push in range(4)
    ]


def test_every_path_is_the_librarys(page: Page) -> None:
    for state, shown in zip(states(), read(page, "gradient", states()), strict=True):
        now = page.evaluate("(state) => {gradient.change(state); return gradient.now}", state)
        x = torch.tensor([state[name] for name in NAMES], dtype=torch.float64)[:, None]
        dy = gradient.push(x, state["example"], state["push"])
        expected = gradient.paths(x, dy)
        for name, row in zip(("direct", "variance", "through"), expected, strict=True):
            told = torch.tensor(now[name], dtype=torch.float64)
            torch.testing.assert_close(told, row, rtol=1e-9, atol=1e-9)
        _, moments = F.batch_norm(x, eps=gradient.EPS)
        dx, _, _ = F.batch_norm_backward(dy, x, None, moments, eps=gradient.EPS)
        total = torch.tensor(now["total"], dtype=torch.float64)
        torch.testing.assert_close(total, dx.flatten(), rtol=1e-9, atol=1e-9)
        assert now["mean"] == pytest.approx(moments.mean.item(), abs=1e-12)
        assert now["sigma"] == pytest.approx(moments.var.sqrt().item(), abs=1e-9)
        chosen = state["example"]
        assert float(shown["total"][0]) == pytest.approx(dx[chosen].item(), abs=1e-9)
        for name, row in zip(("direct", "variance", "mean"), expected, strict=True):
            assert float(shown[name][0]) == pytest.approx(row[chosen].item(), abs=1e-9)
        assert float(shown["sum"][0]) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("push", [1, 2])
def test_a_push_that_normalizing_takes_back_moves_nothing(page: Page, push: int) -> None:
    """All alike, the mean takes it back; outwards, the variance does."""
    page.locator("#gradient .reset").click()
    (shown,) = read(page, "gradient", [{"push": push}])
    total = page.evaluate("Array.from(gradient.now.total)")
    assert max(map(abs, total)) < (1e-12 if push == 1 else 1e-4)
    assert abs(float(shown["direct"][0])) > 0.3
    assert shown["total"][1] == "0"


def test_the_bars_end_at_the_sum(page: Page) -> None:
    page.locator("#gradient .reset").click()
    read(page, "gradient", [{"push": 3, "x2": 2.0}])
    ends, sums = page.evaluate(
        """() => [gradient.bars[2].getAttribute("d").match(/H[-\\d.]+v7/g).map((text) => parseFloat(text.slice(1))),
                  gradient.sums.getAttribute("d").match(/M[-\\d.]+/g).map((text) => parseFloat(text.slice(1)) + 6)]"""
    )
    assert ends == pytest.approx(sums, abs=0.011)


def test_one_slider_is_there_for_the_chosen_example(page: Page) -> None:
    for chosen in range(8):
        page.locator("#gradient fieldset").nth(1).locator("input").nth(chosen).check()
        shown = page.locator("#gradient .slider").filter(visible=True)
        assert shown.count() == 1
        assert f"example {chosen + 1} " in shown.inner_text()
        assert not page.locator(f"#gradient input[name=x{(chosen + 1) % 8 + 1}]").is_visible()


def test_the_static_picture_tells_the_start(page: Page) -> None:
    x = np.array(gradient.START)
    z = (x - x.mean()) / np.sqrt(x.var() + gradient.EPS)
    s = 1 / np.sqrt(x.var() + gradient.EPS)
    k = gradient.CHOSEN
    dx = s * (np.eye(8)[k] - 1 / 8 - z * z[k] / 8)
    others = np.abs(np.delete(dx, k))
    said = gradient.build().sentence
    for words in (f"{dx[k]:.2f} of a direct {s:.2f}", f"from {others.min():.2f} to {others.max():.2f}"):
        assert words in said
