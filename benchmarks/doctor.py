"""A trained network broken in twelve ways: what each costs, what the doctor says, and what its fix gives back.

``python -m benchmarks.doctor FOLDER [--seeds N]``, FOLDER as ``steadynorm reproduce --data`` takes it (CIFAR-10 in
parquet). Writes ``results/bench/doctor.json``, from which ``make docs-text`` makes its table. The fixes are those that
the doctor advises, word for word; where it advises to train otherwise, the same steps are made again in that way.
"""

import argparse
import copy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import prune
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import steadynorm as sn
from steadynorm.environment import environment
from steadynorm.files import results, write_json
from steadynorm.lab.data import load
from steadynorm.reports import Cell, Report

STEPS, TUNING, BATCH, RATE = 800, 100, 64, 0.05
TEST = 2000
Batch = tuple[Tensor, Tensor]


def network(eps: float = 1e-5, momentum: float = 0.1) -> nn.Sequential:
    """Six convolutions with batch norm."""
    layers: list[nn.Module] = []
    for inputs, outputs, stride in ((3, 32, 1), (32, 32, 2), (32, 64, 1), (64, 64, 2), (64, 128, 1), (128, 128, 2)):
        layers += [
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs, eps=eps, momentum=momentum),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


class Lesson:
    """One seed: the images, and one network that was trained well."""

    def __init__(self, folder: str, seed: int) -> None:
        data = load(folder, seed, test=TEST)
        scale = 255 * data.train.images[:1000].float().div(255).std()
        self.train = (data.train.images.float() / scale, data.train.labels)
        self.test = (data.test.images.float() / scale, data.test.labels)
        self.seed = seed
        torch.manual_seed(seed)
        self.good = self.taught(network())

    def batches(self, count: int, size: int = BATCH, seed: int = 0) -> list[Batch]:
        """Return random batches of the train images."""
        draw = torch.Generator().manual_seed(1000 * self.seed + seed)
        chosen = torch.randint(len(self.train[0]), (count, size), generator=draw)
        return [(self.train[0][index], self.train[1][index]) for index in chosen]

    def taught(self, model: nn.Module, batches: Sequence[Batch] | None = None, rate: float = RATE) -> nn.Module:
        """Train on batches, by default from the start."""
        dtype = next(model.parameters()).dtype
        given = self.batches(STEPS) if batches is None else batches
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=rate, momentum=0.9)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=len(given))
        model.train()
        for x, y in given:
            loss = F.cross_entropy(model(x.to(dtype)).float(), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        return model

    def accuracy(self, model: nn.Module, both: bool = False) -> float:
        """Return test accuracy in evaluation, of both domains if asked for."""
        dtype = next(model.parameters()).dtype
        model.eval()
        right = []
        for name, change in (("bright", lambda x: x), *([("dark", dark)] if both else [])):
            with torch.no_grad(), sn.nn.domain(name) if both else nullcontext():
                for x, y in zip(*(t.split(250) for t in self.test), strict=True):
                    right.append(model(change(x).to(dtype)).argmax(1) == y)
        return float(torch.cat(right).double().mean())


@dataclass
class Broken:
    """A model, what it is diagnosed on, and what heals it."""

    model: nn.Module
    batches: Sequence[Batch]
    heal: Callable[[], nn.Module]
    options: Mapping[str, Any] = field(default_factory=dict)
    both: bool = False
    """Whether it is tested on both domains."""


WAYS: dict[str, tuple[str, Callable[[Lesson], Broken]]] = {}


def way(rule: str) -> Callable[[Callable[[Lesson], Broken]], Callable[[Lesson], Broken]]:
    """Enter a way to break a network by its docstring, with the rule that must say so: fixed before anything runs."""

    def enter(function: Callable[[Lesson], Broken]) -> Callable[[Lesson], Broken]:
        told = str(function.__doc__).removesuffix(".")
        WAYS[told[0].lower() + told[1:]] = rule, function
        return function

    return enter


def norms(model: nn.Module) -> list[Any]:
    """Return the batch norms."""
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


def recalibrated(model: nn.Module, batches: Sequence[Batch]) -> nn.Module:
    """Return the same model with new statistics."""
    sn.recalibrate_(model, batches)
    return model


@way("stale-statistics")
def pruned(lesson: Lesson) -> Broken:
    """Half of the weights pruned, statistics left."""
    model = copy.deepcopy(lesson.good)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            prune.l1_unstructured(module, "weight", amount=0.5)
            prune.remove(module, "weight")
    batches = lesson.batches(20, seed=1)
    return Broken(model, batches, lambda: recalibrated(model, batches))


@way("momentum")
def momentum(lesson: Lesson) -> Broken:
    """Momentum 0.99, as another framework counts it."""
    torch.manual_seed(lesson.seed)
    model = lesson.taught(network(momentum=0.99))
    batches = lesson.batches(20, seed=1)

    def heal() -> nn.Module:
        for norm in norms(model):
            norm.momentum = 0.01
        return recalibrated(model, batches)

    return Broken(model, batches, heal)


@way("sixteen-bit")
def sixteen_bit(lesson: Lesson) -> Broken:
    """Trained in bfloat16, momentum 0.003."""
    torch.manual_seed(lesson.seed)
    model = lesson.taught(network(momentum=0.003).bfloat16())
    batches = [(x.bfloat16(), y) for x, y in lesson.batches(20, seed=1)]

    def heal() -> nn.Module:
        sn.convert_(model, "batch")
        return recalibrated(model, batches)

    return Broken(model, batches, heal)


@way("non-finite")
def not_finite(lesson: Lesson) -> Broken:
    """One batch with a NaN in training."""
    model = copy.deepcopy(lesson.good).train()
    x, _ = lesson.batches(1, seed=2)[0]
    x[0, 0, 0, 0] = torch.nan
    with torch.no_grad():
        model(x)
    batches = lesson.batches(20, seed=1)
    return Broken(model, batches, lambda: recalibrated(model, batches))


@way("batches-differ")
def ordered(lesson: Lesson) -> Broken:
    """Fine-tuned on batches of one class each."""
    x, y = (torch.cat(parts) for parts in zip(*lesson.batches(TUNING, seed=3), strict=True))
    order = y.argsort(stable=True)
    batches = list(zip(x[order].split(BATCH), y[order].split(BATCH), strict=True))
    model = lesson.taught(copy.deepcopy(lesson.good), batches, RATE / 10)
    mixed = lesson.batches(TUNING, seed=3)
    return Broken(model, batches[:: TUNING // 20], lambda: lesson.taught(copy.deepcopy(lesson.good), mixed, RATE / 10))


@way("small-batch")
def of_two(lesson: Lesson) -> Broken:
    """Fine-tuned on batches of two."""
    small = lesson.batches(8 * TUNING, 2, seed=4)
    model = lesson.taught(copy.deepcopy(lesson.good), small, RATE / 10)
    large = lesson.batches(TUNING, seed=4)
    return Broken(model, small[:20], lambda: lesson.taught(copy.deepcopy(lesson.good), large, RATE / 10))


def dark(x: Tensor) -> Tensor:
    """Return images of another domain: a quarter of the contrast."""
    return 0.25 * x


@way("batches-differ")
def domains(lesson: Lesson) -> Broken:
    """Two domains, each batch of one; tested on both."""
    batches = [(x if i % 2 else dark(x), y) for i, (x, y) in enumerate(lesson.batches(STEPS, seed=5))]
    torch.manual_seed(lesson.seed)
    model = lesson.taught(network(), batches)

    def heal() -> nn.Module:
        sn.convert_(model, "domain", domains=["bright", "dark"])

        def run(model: nn.Module, batch: Batch) -> Tensor:
            x, _ = batch
            with sn.nn.domain("bright" if x.std() > 0.6 else "dark"):
                return model(x)

        sn.recalibrate_(model, batches[:20], forward=run)
        return model

    return Broken(model, batches[:20], heal, both=True)


@way("frozen-looking")
def thawed(lesson: Lesson) -> Broken:
    """A backbone frozen by requires_grad alone, its head trained on dark images."""
    images = [(dark(x), y) for x, y in lesson.batches(TUNING, seed=6)]

    def tuned(model: Any) -> Any:
        model[:-1].requires_grad_(False)
        return model

    model = lesson.taught(tuned(copy.deepcopy(lesson.good)), images, RATE / 100)

    def heal() -> nn.Module:
        again = copy.deepcopy(lesson.good)
        sn.freeze_(again, affine=True)
        return lesson.taught(tuned(again), images, RATE / 100)

    return Broken(model, lesson.batches(20, seed=1), heal)


@way("stale-statistics")
def averaged(lesson: Lesson) -> Broken:
    """An EMA of the weights, with the buffers of the last step."""
    torch.manual_seed(lesson.seed)
    model = network()
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE / 3, momentum=0.9)
    model.train()
    for x, y in lesson.batches(STEPS):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ema.update_parameters(model)
    batches = lesson.batches(20, seed=1)
    return Broken(ema, batches, lambda: recalibrated(ema, batches))


@way("stripped-activation")
def two_converters(lesson: Lesson) -> Broken:
    """A converter that copies statistics, γ and β only."""

    def ours() -> Any:
        model = copy.deepcopy(lesson.good)
        for i, module in enumerate(model):
            if isinstance(module, nn.BatchNorm2d):
                fused = sn.nn.BatchNorm2d(module.num_features, activation="relu")
                fused.load_state_dict(module.state_dict())
                model[i], model[i + 1] = fused, nn.Identity()
        return model

    model = ours()
    for i, module in enumerate(model):
        if isinstance(module, sn.nn.BatchNorm2d):
            model[i] = nn.BatchNorm2d(module.num_features)
            model[i].load_state_dict(module.state_dict(), strict=False)
    return Broken(model, lesson.batches(20, seed=1), ours, {"reference": ours()})


@way("epsilon")
def epsilon(lesson: Lesson) -> Broken:
    """ε = 10 where it was trained with 1e-5."""
    model = copy.deepcopy(lesson.good)
    for norm in norms(model):
        norm.eps = 10.0

    def heal() -> nn.Module:
        for norm in norms(model):
            norm.eps = 1e-5
        return model

    return Broken(model, lesson.batches(20, seed=1), heal)


@way("padding-in-statistics")
def padded(lesson: Lesson) -> Broken:
    """Statistics taken over crops of different heights, filled up with 0."""
    plain = lesson.batches(20, seed=1)
    draw = torch.Generator().manual_seed(lesson.seed)
    filled = []
    for x, y in plain:
        heights = torch.randint(8, 33, (len(x),), generator=draw)
        filled.append((x * (torch.arange(32) < heights[:, None])[:, None, :, None], y))
    model = recalibrated(copy.deepcopy(lesson.good), filled)
    return Broken(model, filled, lambda: recalibrated(model, plain))


def study(folder: str, seed: int) -> Iterator[dict[str, Any]]:
    """Yield a row for the healthy network, and a row a way."""
    lesson = Lesson(folder, seed)
    healthy = lesson.accuracy(lesson.good)
    yield {"seed": seed, "way": "none", "accuracy": healthy, **said(lesson.good, lesson.batches(20, seed=1), {})}
    for name, (rule, make) in WAYS.items():
        broken = make(lesson)
        found = said(broken.model, broken.batches, broken.options)
        accuracy = lesson.accuracy(broken.model, broken.both)
        yield {
            "seed": seed,
            "way": name,
            "expected": rule,
            "accuracy": accuracy,
            **found,
            "after the fix": lesson.accuracy(broken.heal(), broken.both),
        }


def said(model: nn.Module, batches: Sequence[Batch], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rules that found something, of each severity."""
    found = sn.diagnose(model, batches, **options)
    return {
        severity: sorted({one.rule for one in found if one.severity == severity}) for severity in ("error", "warning")
    }


def table(record: Mapping[str, Any]) -> Report:
    """Return a row a way: accuracies in per cent, means over the seeds, and which rules spoke in how many of them."""
    rows: list[dict[str, Cell]] = []
    seeds = len({row["seed"] for row in record["rows"]})
    for name in dict.fromkeys(row["way"] for row in record["rows"]):
        found = [row for row in record["rows"] if row["way"] == name]
        spoken = [rule for row in found for rule in (*row["error"], *row["warning"])]
        told = ", ".join(f"{rule} ({spoken.count(rule)} of {seeds})" for rule in dict.fromkeys(spoken))
        rows.append(
            {
                "broken by": name,
                "accuracy %": round(100 * fmean(row["accuracy"] for row in found), 1),
                "the doctor's errors and warnings": told or "nothing",
                "after its fix %": None
                if name == "none"
                else round(100 * fmean(row["after the fix"] for row in found), 1),
            }
        )
    here = record["environment"]
    note = (
        f"Six convolutions on CIFAR-10, {record['steps']} steps of {BATCH}, {TEST} test images, means of {seeds} "
        f"seeds; `python -m benchmarks.doctor`, {record['created'][:10]}, torch {here['packages']['torch']}."
    )
    return Report("A network broken in twelve ways", tuple(rows[0]), rows, (note,))


def main() -> None:
    """Run the study and write its record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    rows = []
    for seed in range(given.seeds):
        for row in study(given.folder, seed):
            print(row, file=sys.stderr, flush=True)
            rows.append(row)
    record = {
        "schema": "steadynorm.bench/1",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment(threads=torch.get_num_threads()),
        "steps": STEPS,
        "rows": rows,
    }
    write_json(results() / "bench" / "doctor.json", record)
    print(table(record))


if __name__ == "__main__":
    main()
