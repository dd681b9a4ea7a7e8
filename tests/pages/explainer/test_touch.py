"""Each figure moved by mouse, keys and finger, put back, linked to, and read out."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, CDPSession, Page

from browsing import bring, until
from steadynorm.pages.explainer import NAMES


class Handle(NamedTuple):
    """One slider of a figure, and where on the chart to take hold of it."""

    figure: str
    slider: str
    low: float
    high: float
    step: float
    start: float
    panel: str  # the panel whose scale says what value a place has
    vertical: bool = False


HANDLES = [
    Handle("saturation", "drift", -6, 6, 0.1, 3.2, "lower"),
    Handle("bias", "step", 0, 200, 1, 60, "lower"),
    Handle("affine", "gamma", -3, 3, 0.05, 1.5, "panels[2]"),
    Handle("affine", "beta", -4, 4, 0.05, -1, "panels[2]"),
    Handle("rate", "rate", 0.025, 2.25, 0.025, 0.45, "strip"),
    Handle("ladder", "target", 0, 55, 0.1, 37.3, "panels[0]", vertical=True),
    Handle("ladder", "paper", 69, 75.5, 0.1, 72.2, "panels[1]", vertical=True),
    Handle("gradient", "x6", -4, 4, 0.05, 1.0, "lines[5]"),
    Handle("population", "count", 0, 17, 1, 7, "panels[0]"),
    Handle("depth", "layer", 1, 24, 1, 4, "panel"),
    Handle("landscape", "step", 0, 160, 10, 40, "right"),
    Handle("train", "step", 0, 200, 1, 120, "upper"),
    Handle("batches", "size", 0, 3, 1, 1, "panel"),
]
each_handle = pytest.mark.parametrize("handle", HANDLES, ids=lambda h: f"{h.figure}-{h.slider}")


def state(page: Page, handle: Handle) -> float:
    return page.evaluate(f"document.getElementById('{handle.figure}').state.{handle.slider}")


def place(page: Page, handle: Handle, value: float) -> tuple[float, float]:
    """Where on the screen a value of the handle lies on its chart."""
    if handle.slider == "gamma":  # the right end of y's bar
        value += page.evaluate("document.getElementById('affine').state.beta")
    bring(page, f"#{handle.figure} .chart")
    x, y = page.evaluate(
        f"""(value) => {{
             const figure = document.getElementById("{handle.figure}"), panel = figure.{handle.panel};
             const box = figure.svg.getBoundingClientRect();
             const [x, y] = {str(handle.vertical).lower()} ? [panel.left, panel.y(value)]
                                                       : [panel.x(value), panel.top + panel.height / 2];
             return [box.x + x, box.y + y];
           }}""",
        value,
    )
    return x, y


def middle(handle: Handle) -> float:
    """A value between start and end, on the grid of the frames."""
    return round(handle.start + round((handle.high - handle.start) / 2 / handle.step) * handle.step, 6)


@each_handle
def test_drag_on_the_chart_and_beyond_its_edge(wide: Page, handle: Handle) -> None:
    wide.mouse.move(*place(wide, handle, handle.start))
    wide.mouse.down()
    for value in (middle(handle), handle.start, middle(handle)):
        wide.mouse.move(*place(wide, handle, value), steps=3)
        assert state(wide, handle) == pytest.approx(value, abs=0.51 * handle.step)
    x, y = place(wide, handle, handle.high)
    beyond = (x, 3) if handle.vertical else (1277, y - 60)
    box = wide.locator(f"#{handle.figure} .chart svg").bounding_box()
    assert not box["x"] < beyond[0] < box["x"] + box["width"] or beyond[1] < box["y"]
    wide.mouse.move(*beyond, steps=5)
    assert state(wide, handle) == handle.high
    wide.mouse.up()
    wide.mouse.move(*place(wide, handle, handle.start))
    assert state(wide, handle) == handle.high, "released means released"


@each_handle
def test_keys(wide: Page, handle: Handle) -> None:
    slider = wide.locator(f"#{handle.figure} input[name={handle.slider}]")
    slider.focus()
    slider.press("ArrowRight")
    assert state(wide, handle) == pytest.approx(handle.start + handle.step, abs=1e-6)
    slider.press("PageUp")
    page = max(handle.step, (handle.high - handle.low) / 10)
    assert state(wide, handle) == pytest.approx(handle.start + handle.step + page, abs=0.51 * handle.step)
    slider.press("End")
    assert state(wide, handle) == handle.high
    slider.press("Home")
    assert state(wide, handle) == pytest.approx(handle.low)
    assert slider.get_attribute("aria-valuetext").replace("−", "-") == slider.locator("xpath=..").locator(
        "output"
    ).inner_text().replace("−", "-")


class Finger:
    """One finger on the glass."""

    def __init__(self, page: Page) -> None:
        self.session: CDPSession = page.context.new_cdp_session(page)

    def send(self, kind: str, *points: tuple[float, float]) -> None:
        touches = [{"x": x, "y": y} for x, y in points]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    def slide(self, start: tuple[float, float], end: tuple[float, float], parts: int = 10) -> None:
        self.send("touchStart", start)
        for k in range(1, parts + 1):
            self.send("touchMove", tuple(a + (b - a) * k / parts for a, b in zip(start, end, strict=True)))
        self.send("touchEnd")


@each_handle
def test_a_finger_on_the_chart_moves_the_handle_and_scrolls_the_page(phone: Page, handle: Handle) -> None:
    finger = Finger(phone)
    start, end = place(phone, handle, handle.start), place(phone, handle, middle(handle))
    before = phone.evaluate("scrollY")
    finger.slide(start, end)
    value = f"document.getElementById('{handle.figure}').state.{handle.slider}"
    until(phone, f"Math.abs({value} - {middle(handle)}) <= {1.01 * handle.step}")
    assert phone.evaluate("scrollY") == before
    held = state(phone, handle)
    x, y = place(phone, handle, handle.start)
    if handle.vertical:  # the target's grip alone may be pulled up and down; the chart beside it scrolls
        x += 90
    before = phone.evaluate("scrollY")
    finger.slide((x, y), (x + 4, y - 250 if y > 300 else y + 250))
    until(phone, f"scrollY !== {before}")
    assert state(phone, handle) == held


@each_handle
def test_reset(wide: Page, handle: Handle) -> None:
    slider = wide.locator(f"#{handle.figure} input[name={handle.slider}]")
    first = wide.locator(f"#{handle.figure} .chart svg").get_attribute("aria-label")
    slider.focus()
    slider.press("End")
    assert wide.locator(f"#{handle.figure} .chart svg").get_attribute("aria-label") != first
    until(wide, "location.hash !== ''")
    wide.locator(f"#{handle.figure} .reset").click()
    assert state(wide, handle) == handle.start
    assert slider.input_value() == f"{handle.start:g}"
    assert wide.locator(f"#{handle.figure} .chart svg").get_attribute("aria-label") == first
    until(wide, "location.hash === ''")


STATES: Mapping[str, Mapping[str, float]] = {
    "saturation": {"drift": -2.7, "norm": 1},
    "bias": {"step": 137, "gradient": 1},
    "affine": {"gamma": 2.2265486, "beta": -0.45463, "batch": 3},
    "rate": {"rate": 1.975},
    "ladder": {"data": 1, "target": 41.3, "target_digits": 88.8, "paper": 74.5},
    "gradient": {"push": 3, "example": 1, "x2": 3.05, "x8": -0.4},
    "population": {"data": 1, "band": 2, "size": 4, "count": 11},
    "folding": {"side": 1, "padding": 1, "melt": 0.42, "beta": -0.35},
    "scale": {"length": 2.2265486, "direction": 211, "rate": 2.1, "decay": 1},
    "depth": {"batch": 0, "layer": 17},
    "landscape": {"measure": 1, "step": 110},
    "train": {"activation": 1, "depth": 2, "batch": 0, "step": 33, "rate": 4},
    "batches": {"group": 1, "size": 2},
}


def sentences(page: Page) -> list[str]:
    return [page.locator(f"#{name} .chart svg").get_attribute("aria-label") for name in NAMES]


def test_the_address_holds_the_state(wide: Page, browser: Browser) -> None:
    before = sentences(wide)
    for name, values in STATES.items():
        wide.evaluate("([name, values]) => document.getElementById(name).change(values)", [name, values])
    until(wide, "location.hash.split(';').length === 13")
    wide.wait_for_timeout(300)
    with browser.new_context() as context:
        other = context.new_page()
        other.goto(wide.url)
        assert sentences(other) == sentences(wide)
        for name in NAMES:
            read = f"document.getElementById('{name}').state"
            assert other.evaluate(read) == wide.evaluate(read)
        assert set(sentences(other)).isdisjoint(before)
        assert other.evaluate("scrollY") > 300, "the page opens at the first figure that the address names"
        other.evaluate("location.hash = ''")
        until(other, "document.getElementById('rate').state.rate === 0.45")
        assert sentences(other) == before


@pytest.mark.parametrize(
    "address",
    ["saturation:drift=abc", "saturation:norm=", "saturation:other=1", "rate:", "nothing:x=1;;", "saturation:drift=%"],
)
def test_an_address_that_makes_no_sense_changes_nothing(wide: Page, explainer: Path, address: str) -> None:
    before = sentences(wide)
    wide.goto("about:blank")
    wide.goto(f"{explainer.as_uri()}#{address}")
    assert sentences(wide) == before


def test_values_from_the_address_are_brought_into_range(wide: Page, explainer: Path) -> None:
    wide.goto("about:blank")
    wide.goto(explainer.as_uri() + "#saturation:drift=99&norm=7;bias:step=12.4")
    assert wide.evaluate("document.getElementById('saturation').state") == {"drift": 6, "norm": 1}
    assert wide.evaluate("document.getElementById('bias').state.step") == 12


def test_a_switch_by_pointer_and_by_key(wide: Page) -> None:
    wide.locator("#saturation label", has_text="batch norm").click()
    assert wide.evaluate("document.getElementById('saturation').state.norm") == 1
    wide.locator("#saturation input[value='1']").press("ArrowLeft")
    assert wide.evaluate("document.getElementById('saturation').state.norm") == 0


def test_the_batch_is_taken_where_it_is_held(wide: Page) -> None:
    """Pressed off its middle, the batch keeps that distance; pressed far from it, it comes."""
    drift = next(h for h in HANDLES if h.slider == "drift")
    wide.mouse.move(*place(wide, drift, 4.2))
    wide.mouse.down()
    assert state(wide, drift) == 3.2
    wide.mouse.move(*place(wide, drift, 1.2), steps=4)
    assert state(wide, drift) == pytest.approx(0.2, abs=0.051)
    wide.mouse.up()
    wide.mouse.move(*place(wide, drift, -5))
    wide.mouse.down()
    assert state(wide, drift) == pytest.approx(-5, abs=0.051)
    wide.mouse.up()


def test_descent_is_scrubbed_on_its_landscape(wide: Page) -> None:
    bring(wide, "#rate .chart")
    box = wide.locator("#rate .chart svg").bounding_box()
    panel = wide.evaluate("(({left, width, top}) => ({left, width, top}))(rate.panels[1])")
    at = lambda share: (box["x"] + panel["left"] + share * panel["width"], box["y"] + panel["top"] + 40)  # noqa: E731
    wide.mouse.move(*at(0.5))
    wide.mouse.down()
    assert wide.evaluate("rate.state") == {"rate": 0.45, "step": 20}
    wide.mouse.move(*at(0.25), steps=4)
    assert wide.evaluate("rate.state.step") == 10
    wide.mouse.move(*at(-0.9), steps=4)
    assert wide.evaluate("rate.state.step") == 0
    wide.mouse.up()


def test_play_runs_to_the_end_and_stops_when_told(wide: Page) -> None:
    play = wide.locator("#rate .play")
    play.click()
    until(wide, "rate.state.step > 0 && rate.state.step < 40")
    assert play.inner_text() == "Pause"
    play.click()
    step = wide.evaluate("rate.state.step")
    wide.wait_for_timeout(300)
    assert wide.evaluate("rate.state.step") == step
    assert play.inner_text() == "Play"
    wide.evaluate("rate.change({step: 37})")
    play.click()
    until(wide, "rate.state.step === 40")
    assert play.inner_text() == "Play"
    play.click()
    until(wide, "rate.state.step < 40")
    wide.locator("#rate input[name=step]").press("End")
    assert play.inner_text() == "Play", "a hand on the slider stops it"
    wide.wait_for_timeout(200)
    assert wide.evaluate("rate.state.step") == 40


def test_chords_stay_below_the_title(wide: Page) -> None:
    """At 0.45 descent leaves the jagged chart upwards."""
    wide.evaluate("rate.change({rate: 0.45, step: 40})")
    top, clip = wide.evaluate(
        """() => {
             const clip = rate.panels[0].marks.getAttribute("clip-path").slice(4, -1);
             return [rate.panels[0].top, +rate.svg.querySelector(clip + " rect").getAttribute("y")];
           }"""
    )
    assert clip == top
    assert min(float(y) for y in wide.evaluate("rate.balls[0].path.getAttribute('d').match(/-?[0-9.]+(?=L|$)/g)")) < top


def test_the_live_region_waits_until_the_hand_rests(wide: Page) -> None:
    region = wide.locator("#saturation [role=status]")
    slider = wide.locator("#saturation input[name=drift]")
    slider.focus()
    wide.evaluate(
        """() => { window.said = []; const region = document.querySelector("#saturation [role=status]");
                   new MutationObserver(() => said.push(region.textContent)).observe(region, {childList: true}); }"""
    )
    for _ in range(8):
        slider.press("ArrowLeft")
    until(wide, "said.length > 0")
    wide.wait_for_timeout(500)
    assert wide.evaluate("said") == [region.inner_text()]
    assert region.inner_text() == wide.locator("#saturation .chart svg").get_attribute("aria-label")
    assert "Drift 2.4," in region.inner_text()


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_dots_glide_unless_motion_is_to_be_reduced(wide: Page, motion: str) -> None:
    wide.emulate_media(reduced_motion=motion)
    dot = "document.querySelector('#saturation .dot').getBoundingClientRect().x"
    before = wide.evaluate(dot)
    there = wide.evaluate(f"() => {{ document.getElementById('saturation').change({{norm: 1}}, true); return {dot}; }}")
    assert (there == before) == (motion == "no-preference")
    wide.wait_for_timeout(600)
    assert (wide.evaluate(dot) == there) == (motion == "reduce")


@pytest.mark.parametrize("width", [360, 1280])
def test_the_thumb_stands_below_the_value_that_the_chart_shows(wide: Page, width: int) -> None:
    """The thumb's middle, from the slider's own geometry, is where the dotted line ends."""
    wide.set_viewport_size({"width": width, "height": 800})
    until(wide, f"document.getElementById('rate').width < {width}")
    for handle in (h for h in HANDLES if h.figure in ("saturation", "bias", "rate")):
        for value in (handle.low, middle(handle), handle.high):
            wide.evaluate(f"document.getElementById('{handle.figure}').change({{{handle.slider}: {value}}})")
            box = wide.locator(f"#{handle.figure} input[name={handle.slider}]").bounding_box()
            share = (state(wide, handle) - handle.low) / (handle.high - handle.low)
            thumb = box["x"] + 14 + share * (box["width"] - 28)
            assert thumb == pytest.approx(place(wide, handle, state(wide, handle))[0], abs=1)
