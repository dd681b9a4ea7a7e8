"""The bar charts of README, from the committed records: SVG that follows the reader's light or dark mode."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from steadynorm.bench import geometric_mean
from steadynorm.lab.catalogue import claim_of
from steadynorm.lab.records import load_record

from .benches import images

Record = Mapping[str, Any]
WIDTH, LABELS, ROW, BAR = 720, 190, 30, 18
STYLE = """text { font: 14px system-ui, sans-serif; fill: #1c1e21; }
.quiet { fill: #575c63; } .ours { fill: #0067a6; } .theirs { fill: #9aa0a6; }
.line { stroke: #575c63; stroke-dasharray: 4 3; }
@media (prefers-color-scheme: dark) { text { fill: #e6e8ea; } .quiet { fill: #a7adb5; } .ours { fill: #5cb8ff; }
.theirs { fill: #6d747c; } .line { stroke: #a7adb5; } }"""


def drawn(results: Path) -> dict[str, str]:
    """Return each chart by name; none whose records are missing."""
    bench, ladders = results / "bench", results / "ladder"
    layers, steps = (json.loads((bench / f"{name}.json").read_text("utf-8")) for name in ("layers", "steps"))
    return {
        "speed": speed(layers, steps),
        "ladder": ladder(*(load_record(ladders / f"{name}.json") for name in ("digits", "cifar10"))),
    }


def speed(layers: Record, steps: Record) -> str:
    """Return how much faster than torch's batch norm and ReLU ours is, and whole training steps are."""
    shown = [row for row in layers["rows"] if row["work"] == "forward+backward" and row["activation"] == "relu"]
    bars = []
    for layout in ("contiguous", "channels_last"):
        of_layout = [row["speed-up"] for row in steps["rows"] if row["layout"] == layout]
        means = images(shown, layout)
        bars.append((f"layer, {layout}", geometric_mean(means), f"{min(means):.2f} to {max(means):.2f}"))
        bars.append((f"networks, {layout}", geometric_mean(of_layout), f"{min(of_layout):.2f} to {max(of_layout):.2f}"))
    return bar_chart(
        "Time of torch over ours: batch norm with ReLU, and whole training steps; CPU, float32",
        [(name, value, f"{value:.2f} ({spread})", "ours") for name, value, spread in sorted(bars, key=lambda b: b[0])],
        line=1.0,
    )


def ladder(digits: Record, cifar: Record) -> str:
    """Return how many times fewer steps each arm takes to the baseline's best accuracy, beside the paper's numbers."""
    bars = []
    tables = {
        label: {row["arm"]: row for row in claim_of(record).table(record)}
        for label, record in (("digits", digits), ("CIFAR-10", cifar))
    }
    for name in ("BN-Baseline", "BN-x5", "BN-x30"):
        for label, rows in tables.items():
            ratio = float(rows[name]["ratio"])
            bars.append((f"{name}, {label}", ratio, f"{ratio:.1f}", "ours"))
        published = float(tables["digits"][name]["paper: ratio"])
        bars.append((f"{name}, the paper", published, f"{published:g}", "theirs"))
    return bar_chart("Times fewer steps than without batch norm, to its best accuracy", bars, line=1.0)


def bar_chart(title: str, bars: Sequence[tuple[str, float, str, str]], line: float) -> str:
    """Return horizontal bars, each (name, value, its text, class), and a line across at one value."""
    most = max(value for _, value, *_ in bars)
    scale = (WIDTH - LABELS - 150) / most
    height = 40 + ROW * len(bars) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<text x="0" y="18">{escape(title)}</text>',
    ]
    for i, (name, value, text, kind) in enumerate(bars):
        y = 40 + ROW * i
        parts += [
            f'<text class="quiet" x="{LABELS - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="{LABELS}" y="{y}" width="{scale * value:.1f}" height="{BAR}"/>',
            f'<text x="{LABELS + scale * value + 6:.1f}" y="{y + 14}">{escape(text)}</text>',
        ]
    x = LABELS + scale * line
    parts += [f'<line class="line" x1="{x:.1f}" x2="{x:.1f}" y1="32" y2="{height - 8}"/>', "</svg>"]
    return "\n".join(parts) + "\n"
