"""Folding: the script's convolution and its two maps, against torch and the library's folds."""

import numpy as np
import pytest
import torch
from playwright.sync_api import Page

import steadynorm.functional as F
from browsing import read
from steadynorm.pages.explainer import folding as it

STATES = [
    {"side": side, "padding": padding, "melt": melt, "beta": beta}
    for side in (0, 1)
    for padding in (0, 1)
    for melt in (0.0, 0.37, 1.0)
    for beta in (-1.55, 0.5, 2.0)
]


def compute(page: Page, state: dict) -> dict:
    return page.evaluate("(state) => folding.compute(state)", state)


@pytest.mark.parametrize("state", STATES, ids=str)
def test_both_outputs_are_torchs(page: Page, state: dict) -> None:
    now = compute(page, state)
    pair = state["side"], state["padding"]
    both, folded = (one.flatten().tolist() for one in it.outputs(*pair, state["beta"]))
    assert now["truth"] == pytest.approx(both, rel=1e-12, abs=1e-12)
    if state["melt"] == 1:
        s, t = it.affine(*pair, state["beta"])
        fold = F.fold_weights_after if state["side"] == 0 else F.fold_weights_before
        weight, bias = fold(torch.tensor(it.KERNEL, dtype=torch.float64)[None, None], None, s, t)
        assert now["weight"] == pytest.approx(weight.flatten().tolist(), rel=1e-12, abs=1e-12)
        assert now["bias"] == pytest.approx(bias.item(), rel=1e-12, abs=1e-12)
        assert now["y"] == pytest.approx(folded, rel=1e-12, abs=1e-12)
        assert now["left"] == {"s": 1, "t": pytest.approx(0, abs=1e-12)}


@pytest.mark.parametrize("state", STATES, ids=str)
def test_the_output_stays_but_where_a_padded_convolution_follows(page: Page, state: dict) -> None:
    (shown,) = read(page, "folding", [state])
    now = compute(page, state)
    change = np.abs(np.subtract(now["y"], now["truth"]))
    assert float(shown["difference"][0]) == pytest.approx(change.max(), abs=1e-15)
    spoilt = (state["side"], state["padding"]) == (1, 0) and state["melt"] > 0
    frames = page.evaluate("(folding.output.wrong.getAttribute('d').match(/M/g) ?? []).length")
    assert frames == int(shown["wrong"][0]) == (change > 1e-9).sum()
    assert ("wrong" in shown["sentence"]) == spoilt == (frames > 0)
    if spoilt:
        inner = change.reshape(8, 8)[1:-1, 1:-1]
        assert inner.max() < 1e-12, "only the border sees the padding"
    else:
        assert change.max() < 1e-12


def test_without_a_shift_padding_does_no_harm(page: Page) -> None:
    _, t = it.affine(1, 0, 0.0)
    state = {"side": 1, "padding": 0, "melt": 1.0, "beta": -t.item()}
    now = compute(page, state)
    assert np.abs(np.subtract(now["y"], now["truth"])).max() < 1e-12


def test_the_map_is_that_of_normalizing_with_the_statistics_of_all_digits() -> None:
    x = it.digits()
    moments = F.batch_moments(x)
    beta = torch.tensor([0.5], dtype=torch.float64)
    y = F.normalize(x, moments.mean, moments.var, torch.ones_like(beta), beta, eps=it.EPS)
    s, t = it.affine(1, 0, 0.5)
    torch.testing.assert_close(s * x + t, y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("side", [0, 1])
def test_the_batch_norm_is_drawn_onto_the_convolution(wide: Page, width: int, side: int) -> None:
    wide.set_viewport_size({"width": width, "height": 800})
    wide.wait_for_timeout(100)
    wide.evaluate("(side) => folding.change({side, melt: 0})", side)
    wide.locator("#folding .chart").scroll_into_view_if_needed()
    box = wide.locator("#folding .movable").bounding_box()
    distance = wide.evaluate("folding.distance") * (1 if side else -1)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    wide.mouse.move(x, y)
    wide.mouse.down()
    wide.mouse.move(x + distance / 2, y + 5, steps=4)
    assert wide.evaluate("folding.state.melt") == pytest.approx(0.5, abs=0.011)
    moved = wide.locator("#folding .movable").bounding_box()
    assert moved["x"] - box["x"] == pytest.approx(distance / 2, abs=4)
    wide.mouse.move(x + 5 * distance, y - 300, steps=4)
    assert wide.evaluate("folding.state.melt") == 1
    wide.mouse.up()
    wide.mouse.move(x, y)
    assert wide.evaluate("folding.state.melt") == 1
    assert wide.locator("#folding .chart").get_by_text("both in one").count() == 1
