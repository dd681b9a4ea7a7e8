"""The landscape: losses and walks against torch's own layers, and what scaling the weights may and may not change."""

import numpy as np
import pytest
import torch
from playwright.sync_api import Page
from torch import nn

from browsing import read
from steadynorm.pages.explainer import landscape as it


def network(arm: it.Arm) -> nn.Sequential:
    """The same network of torch's layers, at its start; torch asks for an ε above 0."""
    layers: list[nn.Module] = []
    for w in it.weights(arm.scale):
        linear = nn.Linear(w.shape[1], w.shape[0], bias=False, dtype=torch.float64)
        linear.weight.data = w.clone()
        norm = nn.BatchNorm1d(len(w), eps=1e-12, affine=False, dtype=torch.float64) if arm.batch_norm else nn.Identity()
        layers += [linear, norm, nn.ReLU()]
    return nn.Sequential(*layers[:-2])


def walked(arm: it.Arm, steps: int) -> np.ndarray:
    """The losses of both walks after some steps of torch's optimizer, (measures, POINTS)."""
    model, (x, t) = network(arm), it.data()
    optimizer = torch.optim.SGD(model.parameters(), it.RATE)
    for step in range(steps + 1):
        rows = [(step * it.BATCH + k) % len(t) for k in range(it.BATCH)]
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x[rows]), t[rows])
        loss.backward()
        if step < steps:
            optimizer.step()
    before = [(w, w.detach().clone(), w.grad.clone()) for w in model.parameters()]
    found = []
    for measure, far in enumerate(it.MEASURES.values()):
        for k in range(it.POINTS):
            eta = far * k / (it.POINTS - 1)
            for w, old, g in before:
                w.data = old - eta * (g if measure == 0 else old.norm() * g / g.norm())
            found.append(nn.functional.cross_entropy(model(x[rows]), t[rows]).item())
    return np.array(found).reshape(2, it.POINTS)


@pytest.mark.parametrize("arm", range(3))
def test_walks_are_those_of_torchs_layers(page: Page, arm: int) -> None:
    steps = (0, 70)
    states = [{"measure": measure, "step": step} for step in steps for measure in (0, 1)]
    shown = read(page, "landscape", states)
    for step in steps:
        expected = walked(list(it.ARMS.values())[arm], step)
        for measure in (0, 1):
            told = shown[states.index({"measure": measure, "step": step})]
            assert float(told[str(arm)][0]) == pytest.approx(np.ptp(expected[measure]), rel=1e-4)
            figure = "document.getElementById('landscape').arrays.along"
            frames = page.evaluate(f"Array.from({figure}.row({step // 10}, {measure}, {arm}))")
            assert frames == pytest.approx(expected[measure].tolist(), rel=1e-5)


def test_longer_weights_change_the_plain_walk_alone(page: Page) -> None:
    plain, relative = read(page, "landscape", [{"measure": measure, "step": 0} for measure in (0, 1)])
    assert float(relative["1"][0]) == pytest.approx(float(relative["2"][0]), rel=1e-6)
    assert float(plain["1"][0]) > 2 * float(plain["2"][0])


def test_what_the_story_says() -> None:
    facts = {name: float(value) for name, value in it.build().facts.items()}
    assert facts["plain_scaled"] < facts["plain_with"] < facts["plain_without"]
    assert facts["relative_with"] < facts["relative_scaled"] < facts["relative_without"]
