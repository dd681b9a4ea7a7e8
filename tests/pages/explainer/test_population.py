"""The population's variance: the frames against estimates of this file, and what is told against the frames."""

import numpy as np
import pytest
import torch
from playwright.sync_api import Page

from browsing import read
from steadynorm.pages.explainer import population as it


def estimates(m: int, kind: int) -> np.ndarray:
    """Each estimate after each number of batches, (4, counts, repeats), by sums over the same draws."""
    generator = torch.Generator().manual_seed(1000 * kind + m)
    draws = [it.batch(m, kind, generator).double().numpy() for _ in range(it.BATCHES[-1])]
    flat = np.stack([one.swapaxes(0, 1).reshape(one.shape[1], -1) for one in draws])  # (batches, repeats, values)
    n = flat.shape[-1]
    biased = flat.var(-1)
    moving = np.empty_like(biased)
    running = np.ones(flat.shape[1])
    for k, var in enumerate(biased):
        running = moving[k] = 0.9 * running + 0.1 * var * n / (n - 1)
    found = []
    for count in it.BATCHES:
        everything = flat[:count].swapaxes(0, 1).reshape(flat.shape[1], -1)
        first = biased[:count].mean(0)
        found.append([first, first * n / (n - 1), everything.var(-1, ddof=1), moving[count - 1]])
    return np.array(found).swapaxes(0, 1)


@pytest.mark.parametrize(("m", "kind"), [(2, 0), (16, 0), (2, 1), (8, 1)])
def test_each_estimate(page: Page, m: int, kind: int) -> None:
    expected = estimates(m, kind)
    size = it.SIZES.index(m)
    states = [{"data": kind, "size": size, "count": count, "band": 0} for count in range(len(it.BATCHES))]
    for count, shown in enumerate(read(page, "population", states)):
        for name in range(4):
            values = expected[name, count]
            assert float(shown[str(name)][0]) == pytest.approx(values.mean(), rel=1e-5)
            low, high = np.quantile(values, [0.05, 0.95])
            assert shown[str(name)][1] == f"{values.mean():.2f} ({low:.1f} to {high:.1f})"
        assert f"After {it.BATCHES[count]} batch" in shown["sentence"]


def test_independent_values_want_eq_5_and_maps_the_variance_of_all(page: Page) -> None:
    """Within what the repeats leave open, each is what theory says."""
    last = len(it.BATCHES) - 1
    for size, m in enumerate(it.SIZES):
        shown = read(page, "population", [{"data": kind, "size": size, "count": last} for kind in (0, 1)])
        value = {(kind, name): float(shown[kind][str(name)][0]) for kind in (0, 1) for name in range(4)}
        assert value[0, 0] == pytest.approx(it.VARIANCE * (m - 1) / m, rel=0.02)
        assert value[0, 1] == pytest.approx(it.VARIANCE, rel=0.02)
        n = m * it.MAP**2
        within = it.VARIANCE * (
            1 - 1 / n - (1 / m - 1 / n) / 2
        )  # half of the variance is shared by the n/m of an image
        assert value[1, 1] == pytest.approx(within * n / (n - 1), rel=0.02)
        for kind in (0, 1):
            assert value[kind, 2] == pytest.approx(it.VARIANCE, rel=0.02)
            assert value[kind, 3] == pytest.approx(value[kind, 1], rel=0.03)


def test_the_curves_are_at_their_numbers(page: Page) -> None:
    read(page, "population", [{"data": 1, "size": 1, "count": 5, "band": 2}])
    places, expected = page.evaluate(
        """() => {
          const panel = population.panels[1], {estimates} = population.arrays;
          const points = population.parts[1].lines[2].getAttribute("d").match(/[\\d.]+ [\\d.]+/g);
          return [points.map((text) => text.split(" ").map(Number)),
                  [0, 1, 2, 3, 4, 5].map((size) => [panel.x(size), panel.y(estimates.at(1, size, 2, 5, 0))])];
        }"""
    )
    np.testing.assert_allclose(places, expected, atol=0.006)
