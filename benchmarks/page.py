"""How long the page's figures take from a drag to the picture: ``python -m benchmarks.page``. Two minutes.

In Chromium (``CHROMIUM`` names another than /usr/bin/chromium), at 1280 pixels, at full speed and on a processor four
times slower, as the browser's own tools imitate it. A frame begins with a new value of the figure's handle and ends
when the browser has laid out and painted; each handle goes through its range in 60 moves. Then the training in the
page runs at its default for three seconds, and frames are counted. Writes ``results/bench/page.json``, from which
``make docs-text`` makes its table.
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from steadynorm.environment import environment
from steadynorm.files import results, write_json
from steadynorm.lab.catalogue import committed_records
from steadynorm.pages.explainer import NAMES, render
from steadynorm.reports import Report

if TYPE_CHECKING:
    from playwright.sync_api import Page

RECORD = results() / "bench" / "page.json"
SLOWER = (1, 4)
MOVES = 60
# Each move in a frame of its own; a message that is posted in a frame arrives when the frame is painted.
DRAG = """async ([name, moves]) => {
  const figure = document.getElementById(name);
  figure.scrollIntoView({block: "center"});
  await new Promise((done) => setTimeout(done, 600));
  const {name: slider, low, high} = figure.controls.find((control) => !control.options);
  const painted = new MessageChannel();
  const times = [];
  for (let k = 0; k <= moves; k++) {
    const before = figure.state[slider];
    const time = await new Promise((done) => requestAnimationFrame(() => {
      const began = performance.now();
      painted.port1.onmessage = () => done(performance.now() - began);
      figure.change({[slider]: low + (high - low) * (0.5 + 0.5 * Math.sin((2 * Math.PI * k) / moves))});
      painted.port2.postMessage(0);
    }));
    if (figure.state[slider] !== before) times.push(time);
  }
  figure.reset();
  return times.slice(1);
}"""
PLAY = """async () => {
  const figure = document.getElementById("train");
  figure.scrollIntoView({block: "center"});
  figure.change({step: 0});
  await new Promise((done) => setTimeout(done, 600));
  figure.querySelector(".play").click();
  const frames = [];
  const began = performance.now();
  await new Promise((done) => {
    const next = (now) => {
      frames.push(figure.state.step);
      now - began < 3000 ? requestAnimationFrame(next) : done();
    };
    requestAnimationFrame(next);
  });
  figure.stopPlaying();
  figure.reset();
  return [frames.length / 3, new Set(frames).size / 3];
}"""


def measure(page: "Page") -> Iterator[dict[str, Any]]:
    """Drag each figure, at each speed."""
    session = page.context.new_cdp_session(page)
    for slower in SLOWER:
        session.send("Emulation.setCPUThrottlingRate", {"rate": slower})
        for name in NAMES:
            times = page.evaluate(DRAG, [name, MOVES])
            yield {"figure": name, "slower": slower, "median ms": median(times), "longest ms": max(times)}
        frames, steps = page.evaluate(PLAY)
        yield {"figure": "train, played", "slower": slower, "frames a second": frames, "steps shown a second": steps}


def table(record: Mapping[str, Any]) -> Report:
    """Return a row a figure."""
    by = {(row["figure"], row["slower"]): row for row in record["rows"]}
    rows = [
        {
            "figure": name,
            "median ms": round(by[name, 1]["median ms"], 1),
            "longest ms": round(by[name, 1]["longest ms"], 1),
            "median ms, slowed 4 times": round(by[name, 4]["median ms"], 1),
            "longest ms, slowed 4 times": round(by[name, 4]["longest ms"], 1),
        }
        for name in NAMES
    ]
    frames = [f"{by['train, played', slower]['frames a second']:.0f}" for slower in SLOWER]
    here = record["environment"]
    return Report(
        "From a drag to the picture, in the page of `steadynorm explain`",
        tuple(rows[0]),
        rows,
        (
            f"{MOVES} moves of each figure's first handle at 1280 pixels, each from a new value to the painted frame; "
            "those that change nothing are left out. The training in the page, at its default, is shown at "
            f"{' and '.join(frames)} frames a second.",
            f"Measured {record['created'][:10]}, {here['browser']}, {here['processor']}; the browser slows itself.",
        ),
    )


def main() -> None:
    """Make the page, measure, and write the record."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "explainer.html"
        file.write_text(render(committed_records()), encoding="utf-8")
        path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(file.as_uri())
        rows = []
        for row in measure(page):
            print(row, file=sys.stderr)
            rows.append(row)
        version = browser.version
        browser.close()
    record = {
        "schema": "steadynorm.bench/1",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment(browser=f"Chromium {version}"),
        "rows": rows,
    }
    write_json(RECORD, record)


if __name__ == "__main__":
    main()
