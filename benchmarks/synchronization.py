"""What synchronizing costs on one machine: ``python -m benchmarks.synchronization``. Wants a quiet machine.

Several processes of one thread, joined by gloo. Side by side, round by round: our plain batch norm, which exchanges
nothing; ``SyncBatchNorm``; and the same formulas in torch's operators alone, with a collective each for counts, means
and variances, as one would write them by hand. torch's ``SyncBatchNorm`` refuses tensors on the CPU, so it cannot take
part. A process waits for the others in every round, so all of them call in the same order.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

import steadynorm as sn
from steadynorm import kernels
from steadynorm.environment import environment
from steadynorm.files import results, write_json
from steadynorm.reports import Report

RECORD = results() / "bench" / "synchronization.json"
PROCESSES = (2, 4)
SHAPES = ((8, 64, 56, 56), (8, 256, 14, 14), (8, 512, 7, 7))  # of each process
ROUNDS, CALLS = 21, 5


class Total(torch.autograd.Function):
    """The sum over all processes, whose gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return the sum."""
        total = x.clone()
        dist.all_reduce(total)
        return total

    backward = forward


class ByHand(nn.BatchNorm2d):
    """The joined batch's statistics by collectives that autograd knows, three forward and two backward."""

    def forward(self, x: Tensor) -> Tensor:
        """Return y."""
        n = torch.tensor(float(x.numel() // x.shape[1]))
        dist.all_reduce(n)
        mean = Total.apply(x.sum((0, 2, 3))) / n
        centred = x - mean[:, None, None]
        var = Total.apply(centred.square().sum((0, 2, 3))) / n
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * n / (n - 1), self.momentum)
        scale = self.weight * (var + self.eps).rsqrt()
        return centred * scale[:, None, None] + self.bias[:, None, None]


KINDS: dict[str, type[nn.Module]] = {
    "batch norm": sn.nn.BatchNorm2d,
    "synchronized": sn.nn.SyncBatchNorm,
    "by hand": ByHand,
}


def step(layer: nn.Module, x: Tensor) -> Callable[[], tuple[Tensor, ...]]:
    """Return a forward and a backward pass."""
    inputs, dy = [x, *layer.parameters()], x.detach().flip(0)
    return lambda: torch.autograd.grad(layer(x), inputs, dy)


def rounds(steps: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Return seconds of a call by round; the order turns, the same way in all processes."""
    measured: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    for number in range(-1, ROUNDS):  # the first is not counted
        names = names[1:] + names[:1]
        for name in names:
            dist.barrier()
            start = time.perf_counter()
            for _ in range(CALLS):
                steps[name]()
            dist.barrier()  # a step is done when the slowest is
            if number >= 0:
                measured[name].append((time.perf_counter() - start) / CALLS)
    return measured


def work(rank: int, processes: int, folder: str) -> None:
    """Measure as one of the processes; the first writes what it found."""
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", processes)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=processes)
    kernels.load()
    rows = []
    for shape in SHAPES:
        torch.manual_seed(rank)
        x = torch.randn(shape, requires_grad=True)
        steps = {name: step(kind(shape[1]), x) for name, kind in KINDS.items()}
        torch.testing.assert_close(steps["synchronized"](), steps["by hand"](), rtol=1e-3, atol=1e-3)
        measured = rounds(steps)
        plain = measured["batch norm"]
        for name, seconds in measured.items():
            low, ratio, high = statistics.quantiles([s / p for s, p in zip(seconds, plain, strict=True)], n=4)
            rows.append({
                "processes": processes, "shape": list(shape), "layer": name, "ms": 1e3 * statistics.median(seconds),
                "times batch norm": ratio, "quartiles": [low, high],
            })  # fmt: skip
    if rank == 0:
        write_json(Path(folder, "rows.json"), {"rows": rows})
    dist.barrier()
    dist.destroy_process_group()


def table(record: Mapping[str, Any]) -> Report:
    """Return a row for each number of processes and each shape: times of batch norm, which exchanges nothing."""
    rows: list[dict[str, Any]] = []
    for row in record["rows"]:
        where = {"processes": row["processes"], "shape of each": "×".join(map(str, row["shape"]))}
        if row["layer"] == "batch norm":
            rows.append(where | {"batch norm, ms": f"{row['ms']:.2f}"})
            continue
        low, high = row["quartiles"]
        rows[-1][row["layer"]] = f"{row['times batch norm']:.2f} ({low:.2f} – {high:.2f})"
    here = record["environment"]
    note = (
        f"Medians and quartiles of {record['rounds']} interleaved rounds of {record['calls']} steps; one thread a "
        f"process, {here['processors']} cores. Measured {record['created']}, torch {here['packages']['torch']}, "
        f"{here['processor']}."
    )
    return Report("Forward and backward in float32, in times of batch norm", tuple(rows[0]), rows, (note,))


def main() -> None:
    """Measure, and write the record."""
    rows: list[dict[str, Any]] = []
    for processes in PROCESSES:
        with tempfile.TemporaryDirectory() as folder:
            mp.start_processes(work, args=(processes, folder), nprocs=processes, start_method="spawn")
            rows += json.loads(Path(folder, "rows.json").read_text(encoding="utf-8"))["rows"]
    record = {
        "schema": "steadynorm.synchronization/1",
        "created": datetime.now(UTC).date().isoformat(),
        "environment": environment(threads=1, kernels=kernels.status()),
        "rounds": ROUNDS,
        "calls": CALLS,
        "rows": rows,
    }
    write_json(RECORD, record)
    print(table(record))


if __name__ == "__main__":
    main()
