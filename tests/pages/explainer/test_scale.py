"""Scale invariance: the script's gradient and its descent, against autograd through the library."""

import math

import numpy as np
import pytest
import torch
from playwright.sync_api import Page

from browsing import bring, read
from steadynorm.pages.explainer import scale as it

STATES = [
    {"length": length, "direction": direction, "rate": rate, "decay": decay}
    for length, direction in ((0.25, 10), (1.0, 150), (2.35, 200), (4.0, 359))
    for rate in (0.1, 1.0, 3.0)
    for decay in (0, 1)
]


@pytest.mark.parametrize("state", STATES, ids=str)
def test_gradient_and_descent_are_the_librarys(page: Page, state: dict) -> None:
    (shown,) = read(page, "scale", [state])
    now = page.evaluate("document.getElementById('scale').now")
    length = float(np.float32(state["length"]))
    w = it.weights(length, state["direction"])
    y, loss, slope = it.gradient(w, *it.data())
    torch.testing.assert_close(torch.tensor(now["here"]["y"], dtype=torch.float64), y[:, 0], rtol=1e-9, atol=1e-9)
    assert now["here"]["slope"] == pytest.approx(slope[0].tolist(), rel=1e-9, abs=1e-12)
    assert now["here"]["loss"] == pytest.approx(loss.item(), rel=1e-12)
    path = it.descend(w, state["rate"], it.DECAYS[state["decay"]])[:, 0]
    np.testing.assert_allclose(np.array(now["path"]), path.numpy(), rtol=1e-6, atol=1e-9)
    assert float(shown["slope"][0]) == pytest.approx(slope.norm().item(), rel=1e-9)
    assert float(shown["rate"][0]) == pytest.approx(state["rate"] / length**2, rel=1e-12)
    assert float(shown["end"][0]) == pytest.approx(path[-1].norm().item(), rel=1e-6)
    assert float(shown["moved"][0]) < 1e-13


def test_length_changes_nothing_but_the_gradient(page: Page) -> None:
    states = [{"length": length, "direction": 77, "rate": 1, "decay": 0} for length in (0.25, 0.5, 1, 2, 4)]
    shown = read(page, "scale", states)
    products = [float(one["product"][0]) for one in shown]
    assert products == pytest.approx([products[0]] * 5, rel=1e-12)
    losses = {one["sentence"].split("the loss is ")[1].split(" ")[0] for one in shown}
    assert len(losses) == 1


def test_the_gradient_is_at_a_right_angle_and_the_norm_never_falls(page: Page) -> None:
    read(page, "scale", [{"length": 0.7, "direction": 33, "rate": 2, "decay": 0}])
    now = page.evaluate("document.getElementById('scale').now")
    assert np.dot(now["w"], now["here"]["slope"]) == pytest.approx(0, abs=1e-12)
    norms = np.hypot(*np.array(now["path"]).T)
    assert (np.diff(norms) > -1e-12).all()
    read(page, "scale", [{"decay": 1}])
    decayed = np.hypot(*np.array(page.evaluate("document.getElementById('scale').now.path")).T)
    assert decayed[-1] < norms[-1] / 1.5


def test_what_is_said_of_the_start() -> None:
    figure = it.build()
    start = it.weights(1.0, it.DIRECTION.start)
    for length in (0.5, 1.0, 2.0):
        end = it.descend(length * start, it.RATE.start)[-1].norm().item()
        assert f"from {length:g} to {end:.2f}" in figure.sentence
    slope = it.gradient(start, *it.data())[2].norm().item()
    assert f"length {slope:.3f}, at length 2 {slope / 2:.3f}" in figure.sentence


def test_the_tip_follows_the_pointer_round_and_beyond(wide: Page) -> None:
    bring(wide, "#scale .chart")
    figure = "document.getElementById('scale')"
    tip = wide.locator("#scale .reach").bounding_box()
    assert min(tip["width"], tip["height"]) >= 44
    box = wide.locator("#scale .chart svg").bounding_box()
    place = f"(w) => [{figure}.plane.x(w[0]), {figure}.plane.y(w[1])]"

    def at(length: float, degrees: float) -> tuple[float, float]:
        angle = math.radians(degrees)
        x, y = wide.evaluate(place, [length * math.cos(angle), length * math.sin(angle)])
        return box["x"] + x, box["y"] + y

    wide.mouse.move(*at(1, 150))
    wide.mouse.down()
    for length, degrees in ((2, 100), (3, 10), (0.5, 250)):
        wide.mouse.move(*at(length, degrees), steps=4)
        state = wide.evaluate(f"{figure}.state")
        assert state["length"] == pytest.approx(length, abs=0.02)
        assert state["direction"] == pytest.approx(degrees, abs=1.5)
    wide.mouse.move(2, box["y"] + 100, steps=4)
    assert wide.evaluate(f"{figure}.state.length") == 4
    wide.mouse.up()
