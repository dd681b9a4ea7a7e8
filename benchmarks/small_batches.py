"""Every method at normalization batches of 64, 16, 4 and 2, on CIFAR-10.

    python -m benchmarks.small_batches FOLDER [--smoke] [--steps 300] [--processes 2] [--record FILE]

Fixed beforehand: the optimizer's batch is 64 throughout, only what is normalized together shrinks (m examples, in the
order of the batch), so nothing but the statistics differs. A small convolutional net, stochastic gradient descent with
momentum 0.9, a cosine to 0. Every arm has its own learning rate at every m, the best of three on validation data with a
seed that is not used again; then three other seeds, paired over arms. The test part is looked at once, at the end,
with the running statistics and with ones taken anew over training data (``recalibrate_``), which parts what small
batches do to training from what they do to the running statistics. Running statistics average over as many examples
whatever m. Example weighing trains nothing: it takes batch norm's networks, and its share by validation. A run that was
interrupted goes on where it was.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import steadynorm as sn
from steadynorm.environment import environment
from steadynorm.files import results, write_json
from steadynorm.lab.data import Images, load

BATCH, SIZES, SEEDS, GRID_SEED = 64, (64, 16, 4, 2), (1, 2, 3), 0
RATES = (0.02, 0.06, 0.2)
SHARES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.7)
RECORD = results() / "bench" / "small-batches.json"

Norm = Callable[[int], nn.Module]


def by_batch(steps: int, momentum: float) -> dict[str, Norm]:
    """Arms whose statistics are of the batch; renormalization's ramps are the paper's, in shares of the training."""
    ramp = partial(sn.nn.Ramp, begin=int(0.03 * steps))
    limits = {"r_max": ramp(1.0, 3.0, end=int(0.25 * steps) + 1), "d_max": ramp(0.0, 5.0, end=int(0.16 * steps) + 1)}
    nn_ = sn.nn
    return {
        "batch": lambda c: nn_.BatchNorm2d(c, momentum=momentum),
        "renorm": lambda c: nn_.BatchRenorm2d(c, momentum=momentum, **limits),
        "l1": lambda c: nn_.LpBatchNorm2d(c, momentum=momentum, p=1),
        "noisy": lambda c: nn_.NoisyBatchNorm2d(c, momentum=momentum),
        "whitening": lambda c: nn_.WhiteningNorm2d(c, momentum=momentum, groups=c // 8, eps=1e-3),
        "iternorm": lambda c: nn_.IterNorm2d(c, momentum=momentum, groups=c // 8, eps=1e-3),
    }


ALONE: dict[str, Norm] = {  # m does not touch these: they run once
    "frozen": lambda c: sn.nn.FrozenBatchNorm2d(c).requires_grad_(),  # mean 0, variance 1: scale and shift alone
    "group": lambda c: nn.GroupNorm(8, c),
    "layer": lambda c: nn.GroupNorm(1, c),
    "instance": lambda c: nn.InstanceNorm2d(c, affine=True),
}


class Pieces(nn.Module):
    """In training, the layer on m examples after m."""

    def __init__(self, layer: nn.Module, m: int) -> None:
        super().__init__()
        self.layer, self.m = layer, m

    def forward(self, x: Tensor) -> Tensor:
        """Normalize piece by piece; in evaluation all at once."""
        if not self.training or len(x) <= self.m:
            return self.layer(x)
        return torch.cat([self.layer(piece) for piece in x.split(self.m)])


def network(norm: Norm, m: int) -> nn.Sequential:
    """Four convolutions of 32 to 128 features."""
    blocks: list[nn.Module] = []
    for inputs, outputs, stride in ((3, 32, 2), (32, 64, 2), (64, 64, 1), (64, 128, 2)):
        blocks += [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), Pieces(norm(outputs), m), nn.ReLU()]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


def inputs_of(images: Images, train: Images) -> Tensor:
    """Return float images, each channel with the training part's mean 0 and deviation 1."""
    moments = sn.functional.batch_moments(train.images.float())
    return sn.functional.normalize(images.images.float(), moments.mean, moments.var, eps=0.0)


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, labels: Tensor) -> float:
    """Return the share of right answers, in evaluation."""
    model.eval()
    right = sum(int((model(a).argmax(1) == b).sum()) for a, b in zip(x.split(500), labels.split(500), strict=True))
    return right / len(x)


def job(
    arm: str, m: int | None, rate: float, seed: int, folder: str, steps: int, sizes: dict[str, int]
) -> dict[str, Any]:
    """Train one network and return what it came to."""
    torch.set_num_threads(1)
    start = time.perf_counter()
    data = load(folder, seed, **sizes)
    parts = {name: (inputs_of(part, data.train), part.labels) for name, part in
             (("train", data.train), ("validation", data.validation), ("test", data.test))}  # fmt: skip
    x, labels = parts["train"]
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    pieces = BATCH // (m or BATCH)
    arms = ALONE | by_batch(steps * pieces, momentum=1 - 0.9 ** (1 / pieces))
    model = network(arms[arm], m or BATCH)
    optimizer = torch.optim.SGD(sn.parameter_groups(model, 5e-4), rate, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    order = torch.randperm(len(x), generator=generator)
    result: dict[str, Any] = {"arm": arm, "m": m, "rate": rate, "seed": seed}
    for step in range(steps):
        at = step * BATCH % (len(x) - BATCH + 1)
        if at < BATCH:
            order = torch.randperm(len(x), generator=generator)
        chosen = order[at : at + BATCH]
        loss = F.cross_entropy(model.train()(x[chosen]), labels[chosen])
        if not bool(torch.isfinite(loss)):
            return result | {"diverged_at": step, "validation": 0.0}
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    result |= {"final loss": float(loss.detach()), "validation": accuracy(model, *parts["validation"])}
    if seed != GRID_SEED:
        result |= finished(model, arm, x, parts["validation"], parts["test"])
    return result | {"seconds": time.perf_counter() - start}


def finished(model: nn.Module, arm: str, x: Tensor, validation: Any, test: Any) -> dict[str, Any]:
    """Look at the test part: by the running statistics, by ones taken anew, and weighted by example."""
    found: dict[str, Any] = {"test": accuracy(model, *test)}
    if arm == "batch":
        plain = {name: value.clone() for name, value in model.state_dict().items()}
        by_share = {}
        for alpha in SHARES:
            weighted = network(lambda c, a=alpha: sn.nn.ExampleWeightedBatchNorm2d(c, alpha=a), BATCH)
            weighted.load_state_dict(plain)
            by_share[alpha] = accuracy(weighted, *validation), weighted
        alpha = max(by_share, key=lambda share: by_share[share][0])
        found |= {"alpha": alpha, "test weighted": accuracy(by_share[alpha][1], *test)}
    if arm in ("batch", "renorm"):
        sn.recalibrate_(model, list(x[:2000].split(500)), passes="exact")
        found["test recalibrated"] = accuracy(model, *test)
    return found


class Finished:
    """The results of a run so far, a line each in a file, so that one that was interrupted goes on."""

    def __init__(self, file: Path, steps: int) -> None:
        self.file, self.steps = file, steps
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        self.rows = {self._key(row): row for row in map(json.loads, lines)}

    def _key(self, row: dict[str, Any]) -> tuple[Any, ...]:
        return row["arm"], row["m"], row["rate"], row["seed"], row["steps"]

    def all(self, pool: Executor, run: Callable[..., dict[str, Any]], jobs: list[tuple[Any, ...]]) -> list[Any]:
        """Return the results of these jobs, in their order; those that are missing are computed and kept."""
        missing = [job for job in jobs if (*job, self.steps) not in self.rows]
        for future in as_completed([pool.submit(run, *job) for job in missing]):
            row = future.result() | {"steps": self.steps}
            self.rows[self._key(row)] = row
            with self.file.open("a", encoding="utf-8") as lines:
                print(json.dumps(row), file=lines)
            print(f"{len(self.rows)} done: {row['arm']}, m {row['m']}, rate {row['rate']}", file=sys.stderr)
        return [self.rows[*job, self.steps] for job in jobs]


def main() -> None:
    """Choose the rates, run the seeds, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="CIFAR-10 as the hub's parquet files")
    parser.add_argument("--smoke", action="store_true", help="a few steps of everything, to see that it runs")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--record", type=Path, default=RECORD)
    given = parser.parse_args()
    steps = 3 if given.smoke else given.steps
    sizes = {"train": 500, "validation": 100, "test": 100} if given.smoke else {"train": 20_000, "validation": 2000}
    rates, seeds = (RATES[:1], SEEDS[:1]) if given.smoke else (RATES, SEEDS)
    cells = [(arm, m) for arm in by_batch(1000, 0.1) for m in SIZES] + [(arm, None) for arm in ALONE]
    run = partial(job, folder=given.folder, steps=steps, sizes=sizes)
    finished = Finished(given.record.with_suffix(".jsonl"), steps)
    with ProcessPoolExecutor(given.processes) as pool:
        grid = finished.all(pool, run, [(arm, m, rate, GRID_SEED) for arm, m in cells for rate in rates])
        best = {}
        for row in grid:
            if row["validation"] > best.get((row["arm"], row["m"]), (-1.0,))[0]:
                best[row["arm"], row["m"]] = row["validation"], row["rate"]
        results = finished.all(pool, run, [(arm, m, best[arm, m][1], seed) for seed in seeds for arm, m in cells])
    here = environment(processes=given.processes, numpy=np.__version__)
    record = {"protocol": __doc__, "steps": steps, "rates": rates, "sizes": sizes, "grid": grid, "results": results,
              "environment": here, "created": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}  # fmt: skip
    write_json(given.record, record)
    finished.file.unlink()
    print(f"{given.record}; `make docs-text` writes its table")


if __name__ == "__main__":
    main()
