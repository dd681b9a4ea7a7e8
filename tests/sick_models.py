"""For every rule the smallest model on which it fires, and what heals it: a function of the rule's name in ``SICK``."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint

import steadynorm as sn


@dataclass
class Patient:
    """A sick model, how it is examined, where the finding must be, what its numbers must be, and the advised fix."""

    model: nn.Module
    layer: str
    heal: Callable[["Patient"], None]
    batches: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    numbers: Callable[[dict[str, Any]], bool] = lambda numbers: True
    severity: str = "warning"


def images(count=12, size=32, seed=5, shift=1.0, scale=2.0, channels=3):
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(size, channels, 6, 6, generator=draw) * scale + shift for _ in range(count)]


def train(model, batches, steps=60):
    """Let the statistics move as in training, which 60 batches complete: 0.9**60 = 0.002."""
    with torch.no_grad():
        for i in range(steps):
            model.train()(batches[i % len(batches)])
    return model


def healthy(norm=nn.BatchNorm2d, bias=False, act=nn.ReLU, **others):
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=bias),
        norm(8, **others),
        act(),
        nn.Conv2d(8, 8, 3, bias=False),
        norm(8, **others),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


def trained(**others):
    return train(healthy(**others), images())


def recalibrate(patient):
    sn.recalibrate_(patient.model, patient.batches)


SICK: dict[str, Callable[[], Patient]] = {}


def sick(function):
    SICK[function.__name__.replace("_", "-")] = function
    return function


@sick
def never_updated():
    model = trained()
    model[4].reset_running_stats()
    with torch.no_grad():
        model[3].weight.mul_(20)
    return Patient(model, "4", recalibrate, images(), numbers=lambda n: n["d"] > 1, severity="error")


@sick
def non_finite():
    model = trained()
    model[1].running_mean[2], model[1].running_var[3] = torch.nan, -1.0
    expected = {"features not finite": 1, "negative variances": 1}
    return Patient(model, "1", recalibrate, images(), numbers=lambda n: n == expected, severity="error")


@sick
def sixteen_bit():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, momentum=0.001))
    sn.recalibrate_(model, images())
    model.bfloat16()

    def heal(patient):
        sn.convert_(patient.model, "batch")
        recalibrate(patient)

    full = {"dtype": "bfloat16", "features that are stuck": 8}
    return Patient(model, "1", heal, [b.bfloat16() for b in images()], {}, lambda n: n == full, "error")


@sick
def far_from_data():
    model = trained()
    model[1].running_mean.add_(3 * model[1].running_var.sqrt())
    model[1].running_var.mul_(4)
    right = lambda n: 2.5 < n["largest mean shift in σ"] < 3.5 and 3.5 < n["largest variance ratio"] < 4.5  # noqa: E731
    return Patient(model, "1", recalibrate, images(), numbers=right, severity="error")


@sick
def stale_statistics():
    torch.manual_seed(2)
    wide = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 32, 3, bias=False))
    model = train(nn.Sequential(*wide, nn.BatchNorm2d(32)), images())
    prune.l1_unstructured(model[3], "weight", amount=0.8)
    prune.remove(model[3], "weight")
    return Patient(model, "4", recalibrate, images(), numbers=lambda n: n["d"] > 0.5)


@sick
def ranks_differ():
    """One process that stands for two: the other has what it should."""
    model = trained()
    model[1].running_mean.add_(2 * model[1].running_var.sqrt())
    good = trained()

    def heal(patient):
        patient.model.load_state_dict(good.state_dict())

    right = lambda n: n["ranks"] == 2 and abs(n["largest difference of means in σ"] - 2) < 0.1  # noqa: E731
    return Patient(model, "1", heal, None, {"process_group": good}, right, "error")


@sick
def momentum():
    model = trained()
    model[1].momentum = 0.99

    def heal(patient):
        patient.model[1].momentum = 0.01
        sn.recalibrate_(patient.model, patient.batches)

    return Patient(model, "1", heal, images(), numbers=lambda n: n == {"momentum": 0.99})


@sick
def epsilon():
    model = train(nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, eps=1e3)), images())

    def heal(patient):
        patient.model[1].eps = 1e-2
        recalibrate(patient)

    return Patient(model, "1", heal, images(), numbers=lambda n: n["eps"] == 1e3 and n["share of features"] == 1)


@sick
def one_value():
    model = nn.Sequential(nn.Conv2d(3, 8, 6, bias=False), nn.BatchNorm2d(8))
    batches = images(size=1)
    sn.recalibrate_(model, batches)

    def heal(patient):
        patient.batches = [torch.cat(batches)]

    return Patient(model, "1", heal, batches, numbers=lambda n: set(n.values()) == {12}, severity="error")


@sick
def small_batch():
    model = train(nn.Sequential(nn.Conv2d(3, 8, 6, bias=False), nn.BatchNorm2d(8)), images(size=4), 200)

    def heal(patient):
        patient.batches = images()

    return Patient(model, "1", heal, images(size=4), numbers=lambda n: 3 < n["effective batch"] < 5)


@sick
def batches_differ():
    model = trained()
    draw = torch.cat(images())
    draw += 3 * torch.randn(len(draw), 1, 1, 1, generator=torch.Generator().manual_seed(0))
    in_order = list(draw[draw.mean((1, 2, 3)).argsort()].split(32))
    sn.recalibrate_(model, in_order)

    def heal(patient):
        patient.batches = list(draw[torch.randperm(len(draw))].split(32))
        sn.recalibrate_(patient.model, patient.batches)

    return Patient(model, "1", heal, in_order, numbers=lambda n: n["F"] > 10 and n["p"] == 0.001)


class Sequences(nn.Module):
    def __init__(self):
        super().__init__()
        self.bn = sn.nn.BatchNorm1d(3)

    def forward(self, x, mask=None):
        return self.bn(x) if mask is None else self.bn(x, mask=mask)


@sick
def padding_in_statistics():
    draw = torch.Generator().manual_seed(3)
    batches = []
    for _ in range(8):
        x, lengths = torch.randn(32, 3, 20, generator=draw) + 2, torch.randint(5, 21, (32,), generator=draw)
        mask = (torch.arange(20) < lengths[:, None]).unsqueeze(1)
        batches.append({"x": x * mask, "mask": mask})
    unmasked = [{"x": batch["x"]} for batch in batches]
    model = Sequences()
    sn.recalibrate_(model, unmasked)

    def heal(patient):
        patient.batches = batches
        sn.recalibrate_(patient.model, batches)

    filled = 20 - batches[0]["mask"].sum(-1)
    share = float((filled * (filled > 1)).sum()) / (32 * 20)  # a single last position is no padding
    return Patient(model, "bn", heal, unmasked, numbers=lambda n: n == {"share of padding": share, "axis": 2})


@sick
def micro_batches():
    patient = small_batch()
    patient.options = {"micro_batches": 8}

    def heal(patient):
        patient.batches = images()
        patient.options = {}

    patient.heal, patient.numbers = heal, lambda n: n["micro-batches"] == 8 and n["effective batch"] < 6
    return patient


@sick
def dead_channels():
    model = healthy()
    with torch.no_grad():
        model[0].weight[:5] = 0
    train(model, images())

    def heal(patient):
        nn.init.kaiming_normal_(patient.model[0].weight)
        recalibrate(patient)

    return Patient(model, "1", heal, images(), numbers=lambda n: n["dead features"] == 5 and n["of"] == 8)


@sick
def redundant_bias():
    def heal(patient):
        sn.drop_redundant_biases_(patient.model, patient.batches[0])

    right = lambda n: n == {"cancelled by": "1"}  # noqa: E731
    return Patient(trained(bias=True), "0", heal, images(), numbers=right, severity="note")


@sick
def two_norms():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.Identity(), nn.BatchNorm2d(8))

    def heal(patient):
        patient.model[1] = nn.Identity()
        recalibrate(patient)

    return Patient(train(model, images()), "3", heal, images(), numbers=lambda n: n == {"after": "1"})


@sick
def another_axis():
    draw = torch.Generator().manual_seed(0)
    batches = [torch.randn(32, 6, 4, generator=draw) for _ in range(12)]
    model = nn.Sequential(nn.Linear(4, 6, bias=False), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))
    sn.recalibrate_(model, batches)

    def heal(patient):
        patient.model[1] = sn.nn.BatchNorm1d(6, channel_axis=-1)
        recalibrate(patient)

    return Patient(model, "1", heal, batches, numbers=lambda n: n == {"behind": "0", "input": "32×6×6"})


@sick
def dropout_before_norm():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.Dropout(0.5), nn.BatchNorm2d(8))

    def heal(patient):
        patient.model[1], patient.model[2] = patient.model[2], patient.model[1]
        recalibrate(patient)

    right = lambda n: 1.35 < n["deviation, with over without"] < 1.6  # noqa: E731
    return Patient(train(model, images()), "2", heal, images(), numbers=right)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = self.second = nn.BatchNorm2d(3)

    def forward(self, x):
        return self.first(x) + self.second(3 * x + 5)


@sick
def reused_norm():
    def heal(patient):
        patient.model.second = copy.deepcopy(patient.model.first)
        recalibrate(patient)

    model = Twice()
    sn.recalibrate_(model, images())
    right = lambda n: n["uses a batch"] == 2 and 8.8 < n["variance ratio"] < 9.2  # noqa: E731
    return Patient(model, "first", heal, images(), numbers=right)


@sick
def frozen_looking():
    model = trained()
    model[1].requires_grad_(False)

    def heal(patient):
        sn.freeze_(patient.model, affine=True, where=lambda name, _: name == "1")

    return Patient(model, "1", heal)


@sick
def thaws_on_train():
    model = trained()
    model.train()[4].eval()

    def heal(patient):
        sn.freeze_(patient.model, where=lambda name, _: name == "4")

    return Patient(model, "4", heal)


@sick
def batch_dependent_evaluation():
    model = trained()
    model[4] = nn.BatchNorm2d(8, track_running_stats=False)

    def heal(patient):
        patient.model[4] = nn.BatchNorm2d(8)
        recalibrate(patient)

    return Patient(model, "4", heal, images())


@sick
def never_called():
    model = trained()
    model[1].left_over = nn.BatchNorm2d(3)
    nn.init.ones_(model[1].left_over.running_mean)

    def heal(patient):
        del patient.model[1].left_over

    return Patient(model, "1.left_over", heal, images(), severity="note")


@sick
def weight_decay():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8))
    model = train(model, images())

    def heal(patient):
        patient.options["optimizer"] = torch.optim.SGD(sn.parameter_groups(model, 0.1), lr=0.1)

    options = {"optimizer": torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)}
    return Patient(model, "1", heal, None, options, lambda n: n == {"weight decay": 0.1}, "note")


class Checkpointed(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return checkpoint(self.body, x, use_reentrant=False)


@sick
def counts_twice():
    model = Checkpointed(trained()[:2])

    def heal(patient):
        sn.convert_(patient.model, "batch")

    return Patient(model, "body.1", heal, images(), numbers=lambda n: n == {"uses a step": 1, "counted": 2})


@sick
def stripped_activation():
    def build():
        return nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), sn.nn.BatchNorm2d(8, activation="relu"))

    good = train(build(), images())
    stripped = copy.deepcopy(good)  # by a converter that copies what every batch norm has
    stripped[1] = nn.SyncBatchNorm(8)
    stripped[1].load_state_dict(good[1].state_dict())

    def heal(patient):
        patient.model = copy.deepcopy(good)

    right = lambda n: n == {"activation": "relu", "class": "SyncBatchNorm"}  # noqa: E731
    return Patient(stripped, "1", heal, None, {"reference": good}, right, "error")


@sick
def saturated():
    model = trained(act=nn.Sigmoid)
    with torch.no_grad():
        model[1].weight.fill_(100)

    def heal(patient):
        nn.init.ones_(patient.model[1].weight)
        recalibrate(patient)

    model = train(model, images())
    return Patient(model, "2", heal, images(), numbers=lambda n: n["share beyond the slope"] > 0.9)


class Plain(nn.Module):
    """Linear layers, sign-like activations and batch norms in a row; with or without a way around them."""

    def __init__(self, depth, around):
        super().__init__()
        self.around = around
        self.linears = nn.ModuleList(nn.Linear(32, 32, bias=False) for _ in range(depth))
        self.norms = nn.ModuleList(nn.BatchNorm1d(32) for _ in range(depth))

    def forward(self, x):
        for linear, norm in zip(self.linears, self.norms, strict=True):
            y = norm(linear(x)).relu()
            x = x + 0.3 * y if self.around else y
        return x


@sick
def gradient_growth():
    draw = torch.Generator().manual_seed(0)
    batches = [torch.randn(64, 32, generator=draw) for _ in range(8)]
    model = train(Plain(100, around=False), batches)

    def heal(patient):
        patient.model.around = True
        recalibrate(patient)

    return Patient(model, "norms.0", heal, batches, numbers=lambda n: n["largest"] > 1e4 * n["smallest"])
