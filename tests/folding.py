"""What the tests of folding share: models with statistics that do something, and what must hold of a fold."""

import torch
from torch import nn

import steadynorm as sn
from surgery_models import assert_unchanged, state_of


class Net(nn.Module):
    """Whatever is said by a function of (self, x)."""

    def __init__(self, way, **layers):
        super().__init__()
        self.way = way
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x, *more):
        return self.way(self, x, *more)


def layers(**changed):
    """Two convolutions and two batch norms, or what is given in their places."""
    kinds = {
        "c": nn.Conv2d(3, 3, 3, padding=1),
        "d": nn.Conv2d(3, 3, 1),
        "n": nn.BatchNorm2d(3),
        "m": nn.BatchNorm2d(3),
    }
    return kinds | changed


TOLERANCE = {torch.float64: 1e-11, torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}


def ready(model, seed=0):
    """Put the model into evaluation, with statistics and affine parameters drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if getattr(module, "running_mean", None) is None:
            continue
        with torch.no_grad():
            for name, low, high in (
                ("running_mean", -1, 1),
                ("running_var", 0.2, 2),
                ("weight", 0.3, 2),
                ("bias", -1, 1),
            ):
                tensor = getattr(module, name, None)
                if tensor is not None:
                    drawn = torch.rand(tensor.shape, generator=generator) * (high - low) + low
                    tensor.copy_(drawn)
    return model.eval()


def error_of(folded, model, *args, **kwargs):
    """The largest difference of the outputs over the largest magnitude."""
    with torch.no_grad():
        with torch.random.fork_rng():
            ours = folded(*args, **kwargs).double()
        with torch.random.fork_rng():
            theirs = model(*args, **kwargs).double()
    assert ours.shape == theirs.shape
    difference, magnitude = float((ours - theirs).abs().max()), float(theirs.abs().max())
    return difference / magnitude if magnitude else difference


def outcome(report):
    """What became of each batch norm: the names that it went into, or None."""
    return {row["layer"]: row["into"] if row["done"] == "folded" else None for row in report}


def why(report):
    """For each batch norm that is kept, the reason."""
    return {row["layer"]: row["why"] for row in report if row["done"] == "kept"}


def check(model, example, expected, *others, **options):
    """Fold, and hold what must hold of every fold; return the folded model and the report.

    ``expected``: for each batch norm what it goes into, or None. ``others``: more inputs to compare on.
    """
    before = state_of(model)
    folded, report = sn.fold(model, example, **options)
    assert_unchanged(model, before)
    assert outcome(report) == expected, report
    assert all(reason for reason in why(report).values())
    assert not folded.training
    gone = [name.split(" ")[0] for name, into in expected.items() if into]
    for name in gone:
        assert not isinstance(folded.get_submodule(name), nn.modules.batchnorm._BatchNorm)
    for x in (example, *others):
        dtype = next(model.parameters()).dtype
        assert error_of(folded, model, *(x if isinstance(x, tuple) else (x,))) <= TOLERANCE[dtype]
    return folded, report
