"""Our layers beside torch's: ``python -m benchmarks``. Takes some minutes, and wants a quiet machine."""

import torch

from steadynorm.bench import compare_layers
from steadynorm.reports import Report


def main() -> None:
    """Measure every case and print the table."""
    rows = []
    for case, timings in compare_layers().items():
        ours, copy = timings["steadynorm"], timings["copy"]
        rows.append(
            {
                "shape": "×".join(map(str, case.shape)),
                "layout": case.layout,
                "work": case.work,
                "torch ms": 1e3 * timings["torch"].seconds,
                "ours ms": 1e3 * ours.seconds,
                "speed-up": f"{ours.speedup:.2f}",
                "quartiles": "{:.2f} – {:.2f}".format(*ours.speedup_quartiles),
                "ours in copies": ours.seconds / copy.seconds,
            }
        )
    here = f"torch {torch.__version__}, {torch.get_num_threads()} threads"
    note = f"{here}; medians of {ours.rounds} interleaved rounds"
    print(Report("Batch norm and ReLU, float32, with allocation", tuple(rows[0]), rows, (note,)))


if __name__ == "__main__":
    main()
