"""What the figures show, at every frame, against loops and formulas of this file and the functions of the library."""

import json
import math
import re
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Page

import steadynorm.functional as F
from browsing import read, until
from steadynorm.pages.explainer import affine, bias, rate, saturation

ROOT = Path(__file__).resolve().parents[3]


def number(pair: list[str]) -> float:
    return float(pair[0])


def words(value: float, digits: int) -> str:
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)  # as JavaScript does
    text = f"{rounded}".replace("-", "−")
    return text.removeprefix("−") if not text.strip("−0.") else text


def test_saturation(page: Page) -> None:
    u = saturation.batch().numpy()[:, 0]
    assert u.mean() == pytest.approx(0, abs=1e-12)
    assert u.var() == pytest.approx(1)

    def mean_slope(z: np.ndarray) -> float:
        g = 1 / (1 + np.exp(-z))
        return float((g * (1 - g)).mean())

    states = [{"drift": round(k / 10, 1), "norm": norm} for norm in (0, 1) for k in range(-60, 61)]
    for state, shown in zip(states, read(page, "saturation", states), strict=True):
        x = u + state["drift"]
        normed = (x - x.mean()) / np.sqrt(x.var() + saturation.EPS)
        slopes = [mean_slope(x), mean_slope(normed)]
        now = slopes[state["norm"]]
        expected = {"mean": now, "plain": slopes[0], "normed": slopes[1], "share": now / mean_slope(u), "left": now**10}
        for name, value in expected.items():
            assert number(shown[name]) == pytest.approx(value, rel=1e-6)
        for name in ("mean", "plain", "normed"):
            assert shown[name][1] == words(number(shown[name]), 3)
        assert shown["share"][1] == f"{words(100 * number(shown['share']), 0)} %"
        assert f"Drift {words(state['drift'], 1)}," in shown["sentence"]
        assert words(number(shown["mean"]), 3) in shown["sentence"]


def test_saturation_puts_every_dot_where_its_number_is(page: Page) -> None:
    u = saturation.batch().numpy()[:, 0]
    for drift, norm in ((-6.0, 0), (3.2, 0), (0.7, 1)):
        read(page, "saturation", [{"drift": drift, "norm": norm}])
        upper, lower = (
            np.array([[float(x) + 4.5, float(y)] for x, y in re.findall(r"M(\S+) ([-\d.]+)a4.5 ", path)])
            for path in page.eval_on_selector_all("#saturation .dot", "dots => dots.map(dot => dot.getAttribute('d'))")
        )
        width = page.evaluate("document.getElementById('saturation').upper.width")
        z = u if norm else u + drift
        g = 1 / (1 + np.exp(-z))
        x = 44 + (z + 9) / 18 * width
        np.testing.assert_allclose(upper, np.stack([x, 34 + (1 - g) * 170], 1), atol=0.01)
        np.testing.assert_allclose(lower, np.stack([x, 262 + (1 - 4 * g * (1 - g)) * 120], 1), atol=0.01)


def test_the_normalized_batch_is_the_same_at_every_drift() -> None:
    u = saturation.batch()
    there = [F.batch_norm(u + mu, eps=saturation.EPS)[0] for mu in saturation.DRIFT.values]
    assert max(float((one - there[0]).abs().max()) for one in there) < 1e-13, "so that the page carries it once"


def test_bias(page: Page) -> None:
    u = bias.batch().double().numpy()[:, 0]
    centred = u - u.mean()
    loss = float((0.5 * (centred - bias.TARGET) ** 2).mean())
    states = [{"step": step, "gradient": mode} for mode in (0, 1) for step in range(201)]
    for state, shown in zip(states, read(page, "bias", states), strict=True):
        naive = state["gradient"] == 0
        gradient = float((centred - bias.TARGET).mean()) if naive else 0  # Σ(x̂−t)/m, and less its own mean
        assert number(shown["gradient"]) == pytest.approx(gradient, abs=1e-6)
        assert number(shown["b"]) == pytest.approx(-bias.RATE * gradient * state["step"], rel=1e-5, abs=1e-6)
        assert number(shown["loss"]) == pytest.approx(loss, rel=1e-6)
        assert shown["loss"][1] == words(loss, 4)
        assert number(shown["moved"]) < (4e-6 if naive else 1e-6)
        assert f"Step {state['step']}," in shown["sentence"]
        assert f"b is {words(number(shown['b']), 1)}," in shown["sentence"]
    assert words(200 * bias.RATE, 2) == read(page, "bias", [{"step": 200, "gradient": 0}])[0]["b"][1]


def test_a_scale_taken_for_a_constant_throws_the_weight(page: Page) -> None:
    """A loop of this file, step for step: the descent is chaotic once the weight is near 0."""
    u = bias.batch().double().numpy()[:, 0]
    unit = (u - u.mean()) / u.std()
    shown = read(page, "bias", [{"step": step, "gradient": 2} for step in range(201)])
    weights = [number(one["b"]) for one in shown]
    for step, (w, following) in enumerate(pairwise(weights)):
        x_hat = math.copysign(1, w) * unit
        gradient = float(((x_hat - bias.SHARE * unit) * unit).mean()) / abs(w)
        assert number(shown[step]["gradient"]) == pytest.approx(gradient, rel=1e-4)
        assert number(shown[step]["loss"]) == pytest.approx(0.5 * (1 - math.copysign(bias.SHARE, w)) ** 2, rel=1e-5)
        assert following == pytest.approx(w - bias.SCALE_RATE * gradient, abs=1e-5)
    assert min(weights) < 0 < max(weights)
    losses = {round(number(one["loss"]), 3) for one in shown}
    assert losses == {0.125, 1.125}, "nine times the first whenever the sign is wrong"
    assert "weight w" in page.locator("#bias .readouts").inner_text()


def test_the_climb_ends_where_the_next_step_is_lost() -> None:
    counts, values = bias.climb(bias.RATE)
    b = np.float32(0)
    seen = dict(zip(counts.tolist(), values.tolist(), strict=True))
    for count in range(1, 5001):
        b = np.float32(b + np.float32(bias.RATE))
        assert seen.get(count, b) == b
    assert values[-1] == bias.stall(bias.RATE)
    assert values[-2] < values[-1]
    assert 1.5e7 < counts[-1] < 2.1e7  # 2,097,152 steps of 0.1 would be 2.1e7: above a million each is rounded up


def test_the_bias_stalls_where_float32_does() -> None:
    b = np.float32(bias.stall(bias.RATE))
    assert b + np.float32(bias.RATE) == b
    assert b / 2 + np.float32(bias.RATE) != b / 2


def test_affine_is_the_library_bit_for_bit(page: Page) -> None:
    x = affine.batches()
    grid = [
        {"gamma": gamma, "beta": beta, "batch": batch}
        for batch in range(4)
        for gamma in np.linspace(-3, 3, 13).tolist()
        for beta in np.linspace(-4, 4, 9).tolist()
    ]
    for state, shown in zip(grid, read(page, "affine", grid), strict=True):
        gamma, beta = (torch.tensor([state[name]], dtype=torch.float32) for name in ("gamma", "beta"))
        one = x[state["batch"], :, None]
        y, moments = F.batch_norm(one, gamma, beta, eps=affine.EPS)
        assert shown["y"] == y.flatten().tolist()
        values = one.double().numpy()
        assert number(shown["mean"]) == pytest.approx(values.mean(), rel=1e-5)
        assert number(shown["sigma"]) == pytest.approx(values.std(), rel=1e-5)
        assert moments.mean.item() == number(shown["mean"])
        assert number(shown["y_mean"]) == pytest.approx(y.double().mean().item(), abs=1e-5)
        assert number(shown["y_std"]) == pytest.approx(y.double().std(correction=0).item(), abs=1e-5)
        assert shown["sigma"][1] == words(number(shown["sigma"]), 2)
        assert shown["y_std"][1] == words(number(shown["y_std"]), 2)


def test_the_density_is_a_density(page: Page) -> None:
    grid = torch.linspace(-8, 8, 1601)
    for x in affine.batches():
        x_hat = F.batch_norm(x[:, None], eps=affine.EPS)[0].flatten()
        f = affine.density(x_hat, grid).double()
        assert torch.trapezoid(f, grid.double()).item() == pytest.approx(1, abs=1e-4)
        assert torch.trapezoid(f * grid, grid.double()).item() == pytest.approx(0, abs=1e-4)
    heights = page.evaluate(
        """() => [2, -0.5].map((gamma) => {
             affine.change({ gamma, beta: 1, batch: 0 });
             const [, x, y] = /^M(\\S+) (\\S+)L/.exec(affine.hills[2].getAttribute("d"));
             const pairs = affine.hills[2].getAttribute("d").match(/[\\d.]+ [\\d.]+/g);
             const points = pairs.map((pair) => pair.split(" ").map(Number));
             return affine.tops[2] - Math.min(...points.map(([, y]) => y));
           })"""
    )
    peak = affine.density(F.batch_norm(affine.batches()[0][:, None], eps=affine.EPS)[0].flatten(), grid).max().item()
    assert heights == pytest.approx([90 * peak / 2, min(66, 90 * peak / 0.5)], abs=0.1)


@pytest.mark.parametrize(("gamma", "beta", "batch"), [(-3, 4, 0), (3, -4, 1), (1.5, -1, 0), (2.95, 4, 3)])
def test_values_beyond_the_chart_are_counted_at_its_edge(page: Page, gamma: float, beta: float, batch: int) -> None:
    shown = read(page, "affine", [{"gamma": gamma, "beta": beta, "batch": batch}])[0]
    y = np.array(shown["y"])
    low, high = int((y < -8).sum()), int((y > 8).sum())
    texts = page.evaluate("affine.beyond[2].map((text) => text.textContent)")
    assert texts == [f"← {low} more" if low else "", f"{high} more →" if high else ""]
    assert ("lie beyond the chart" in shown["sentence"]) == (low + high > 0)
    assert f"; {low + high} of its values" in shown["sentence"] or low + high == 0


@pytest.mark.parametrize("batch", range(4))
def test_the_identity_button_gives_the_batch_back(page: Page, batch: int) -> None:
    page.locator("#affine input[type=radio]").nth(batch).check()
    page.locator("#affine .identity").click()
    until(page, "document.getElementById('affine').classList.contains('undone')")
    x = affine.batches()[batch].double()
    y = torch.tensor(page.evaluate("Array.from(document.getElementById('affine').y)"), dtype=torch.float64)
    error = (y - x).abs().max().item()
    assert error < 1e-6
    told = page.evaluate("document.getElementById('affine').arrays.error.at(" + str(batch) + ")")
    assert told == pytest.approx(error, rel=1e-3, abs=1e-9)
    other = (batch + 1) % 4
    page.locator("#affine input[type=radio]").nth(other).check()
    assert not page.evaluate("document.getElementById('affine').classList.contains('undone')")


def slope(w: float, kind: tuple[float, float, float]) -> float:
    h, a, k = kind
    return h * w + a * k * math.sin(k * w)


def test_rate(page: Page) -> None:
    """The bowl has a closed form. Descent on the ripple is chaotic below its limit, so that only one step at a time can
    be compared there."""
    rates = [round(0.025 * (k + 1), 3) for k in range(90)]
    paths = rate.descend(torch.tensor(rates, dtype=torch.float64), rate.JAGGED).numpy()
    states = [{"rate": one} for one in rates]
    for eta, path, shown in zip(rates, paths, read(page, "rate", states), strict=True):
        w_end = rate.START * (1 - eta) ** 40
        end = 0.5 * w_end**2 if abs(w_end) <= rate.FAR else math.nan
        if eta < 2:
            assert shown["smooth"][1] == "settles"
        assert number(shown["smooth_end"]) == pytest.approx(end, rel=1e-5, abs=1e-44, nan_ok=True)
        if eta > 2:
            first = math.ceil(math.log(rate.FAR / abs(rate.START)) / math.log(abs(1 - eta)))
            shown_by = [str(first), f"diverges by step {first}"] if first <= rate.STEPS else ["-1", "diverges"]
            assert shown["smooth"] == shown_by
        for w, following in pairwise(path):
            expected = w - eta * slope(w, rate.JAGGED)
            assert math.isnan(following) or following == pytest.approx(expected, rel=1e-9, abs=1e-12)
            if math.isnan(following) and not math.isnan(w):
                assert abs(expected) > rate.FAR
        last = rate.loss(torch.tensor(path[-1]), rate.JAGGED).float().item()
        assert number(shown["jagged_end"]) == pytest.approx(last, nan_ok=True, rel=1e-7)
        if eta > 0.4:
            assert shown["jagged"][1].startswith("diverges")
        else:
            assert shown["jagged"][1] in ("settles", "keeps jumping", "settles in a ripple")
            assert ("ripple" in shown["jagged"][1]) == (eta == 0.025), "where it rests at a loss of 0.895"
        assert f"rate of {eta:.3f} " in shown["sentence"]
    assert shown["jagged_end"][1] == "diverged"


def test_rate_step_by_step(page: Page) -> None:
    states = [{"rate": 0.3, "step": step} for step in range(rate.STEPS + 1)]
    paths = rate.descend(torch.tensor([0.3], dtype=torch.float64), rate.JAGGED)[0]
    for step, shown in enumerate(read(page, "rate", states)):
        told = rate.loss(paths[step], rate.JAGGED).item()
        assert number(shown["jagged_end"]) == pytest.approx(told, rel=1e-6)
        assert number(shown["smooth_end"]) == pytest.approx(0.5 * (rate.START * 0.7**step) ** 2, rel=1e-5)
        assert f"at step {step} its loss is" in shown["sentence"]
        dots = page.evaluate("rate.balls[1].dots.getAttribute('d').split('z').length - 1")
        read(page, "rate", [states[step]])
        dots = page.evaluate("rate.balls[1].dots.getAttribute('d').split('z').length - 1")
        assert dots == step, "one dot for each step behind the ball"


def test_what_rate_says_agrees_on_the_number_of_steps(page: Page) -> None:
    text = page.locator("#rate").inner_text()
    assert f"loss after {rate.STEPS} steps" in text
    for shown in read(page, "rate", [{"rate": 0.025 * k, "step": rate.STEPS} for k in range(1, 91)]):
        for name in ("jagged", "smooth"):
            by = re.search(r"by step (\d+)", shown[name][1])
            assert by is None or int(by[1]) <= rate.STEPS


@pytest.mark.parametrize(("data", "name"), [(0, "cifar10"), (1, "digits")])
def test_ladder(page: Page, data: int, name: str) -> None:
    record = json.loads((ROOT / "results" / "ladder" / f"{name}.json").read_text())
    target = ("target", "target_digits")[data]
    high = page.evaluate(f"document.getElementById('ladder').control('{target}').high")
    states = [{"data": data, target: k / 10} for k in range(0, round(high * 10) + 1, 1 + 4 * data)]
    curves = {}
    for arm in record["arms"]:
        seeds = np.array([[accuracy for _, accuracy in seed["curve"]] for seed in arm["seeds"]])
        curves[arm["name"]] = seeds.mean(0)
    steps = [step for step, _ in record["arms"][0]["seeds"][0]["curve"]]
    for state, shown in zip(states, read(page, "ladder", states), strict=True):
        spent = {}
        assert f"% on {record['data']['name']}: " in shown["sentence"]
        for name, curve in curves.items():
            there = np.flatnonzero(100 * curve >= state[target] - 1e-6)
            spent[name] = steps[there[0]] if len(there) else None
            assert shown[f"{name}:0"][1] == (str(spent[name]) if spent[name] else "not reached")
        for name, taken in spent.items():
            if taken and spent["Inception"]:
                assert number(shown[f"{name}:1"]) == pytest.approx(spent["Inception"] / taken, rel=1e-6)
                assert shown[f"{name}:1"][1] == words(number(shown[f"{name}:1"]), 2)
            else:
                assert shown[f"{name}:1"][1] == "–"
    assert high == 100 or high / 100 > max(curve.max() for curve in curves.values())
    for text in page.locator("#ladder .handles label:visible").all_inner_texts():
        assert record["data"]["name"] in text or "paper" in text
    assert page.locator("#ladder thead").inner_text().strip().startswith(f"{record['data']['name']}: steps")


@pytest.mark.parametrize(("data", "name"), [(0, "cifar10"), (1, "digits")])
def test_ladder_begins_at_the_records_own_table(page: Page, data: int, name: str) -> None:
    record = json.loads((ROOT / "results" / "ladder" / f"{name}.json").read_text())
    page.locator("#ladder .reset").click()
    shown = read(page, "ladder", [{"data": data}])[0]
    for arm in record["arms"]:
        steps, ratio = arm["steps_to_target"], arm["ratio"]
        assert shown[f"{arm['name']}:0"][1] == (str(steps) if steps else "not reached")
        if ratio:
            assert number(shown[f"{arm['name']}:1"]) == pytest.approx(ratio, rel=1e-6)


def test_ladder_draws_the_set_that_it_names(page: Page) -> None:
    """Another set has other axes, and its curves end where its record does."""
    for data, name in enumerate(("cifar10", "digits")):
        record = json.loads((ROOT / "results" / "ladder" / f"{name}.json").read_text())
        read(page, "ladder", [{"data": data}])
        last = record["arms"][0]["curve"][-1][0]
        right = page.evaluate("document.getElementById('ladder').panels[0].right")
        assert page.evaluate(f"document.getElementById('ladder').panels[0].x({last})") == pytest.approx(right)
        titles = page.locator("#ladder svg .title").all_text_contents()
        assert f"{record['data']['name']}, measured: accuracy (%)" in titles
        assert page.locator("#ladder .axes").count() == 2, "what was drawn before is gone"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (72.2, "31.0 M 1.0, 13.3 M 2.3, 2.1 M 14.8, 2.7 M 11.5, not reached –, not reached –"),
        (
            69.8,
            "at most 31.0 M –, at most 13.3 M –, at most 2.1 M –, at most 2.7 M –, steps not given –, not reached –",
        ),
        (72.9, "not reached –, not reached –, after 2.1 M –, after 2.7 M –, not reached –, not reached –"),
        (75.0, ", ".join(["not reached –"] * 6)),
    ],
)
def test_the_papers_anchors_say_no_more_than_the_paper(page: Page, target: float, expected: str) -> None:
    shown = read(page, "ladder", [{"paper": target}])[0]
    names = ["Inception", "BN-Baseline", "BN-x5", "BN-x30", "BN-x5-Sigmoid", "Inception-Sigmoid"]
    assert ", ".join(f"{shown[f'{name}:2'][1]} {shown[f'{name}:3'][1]}" for name in names) == expected
