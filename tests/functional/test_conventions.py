"""Statistics as each framework computes them, translated into each other's."""

import itertools
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

import steadynorm as sn
from steadynorm.errors import ArgumentError
from steadynorm.functional.conventions import CONVENTIONS

N = 6  # values of a feature in a batch


def by_torch(batches, momentum):
    layer = torch.nn.BatchNorm1d(2, momentum=momentum, dtype=torch.float64)
    for batch in batches:
        layer(torch.from_numpy(batch))
    return {"running_mean": layer.running_mean.numpy(), "running_var": layer.running_var.numpy()}


def averaged(batches, momentum, variance):
    """mean ← momentum · mean + (1 − momentum) · batch's, likewise the variance: all but torch write it so."""
    mean, var = np.zeros(2), np.ones(2)
    for batch in batches:
        mean = mean * momentum + batch.mean(0) * (1 - momentum)
        var = var * momentum + variance(batch) * (1 - momentum)
    return mean, var


def biased(batch):
    return ((batch - batch.mean(0)) ** 2).mean(0)


def unbiased(batch):  # the fused kernel's "rest size minus one"
    return ((batch - batch.mean(0)) ** 2).sum(0) / (len(batch) - 1)


FORMULAS = {
    "torch": (by_torch, 0.4),
    "keras": (lambda b, m: dict(zip(("moving_mean", "moving_variance"), averaged(b, m, biased), strict=True)), 0.6),
    "tensorflow": (
        lambda b, m: dict(zip(("moving_mean", "moving_variance"), averaged(b, m, unbiased), strict=True)),
        0.6,
    ),
    "flax": (lambda b, m: dict(zip(("mean", "var"), averaged(b, m, biased), strict=True)), 0.6),
    "onnx": (lambda b, m: dict(zip(("input_mean", "input_var"), averaged(b, m, biased), strict=True)), 0.6),
    "mxnet": (lambda b, m: dict(zip(("moving_mean", "moving_var"), averaged(b, m, biased), strict=True)), 0.6),
}


PAIRS = list(itertools.product(CONVENTIONS, repeat=2))


def test_every_convention_has_its_formula():
    assert FORMULAS.keys() == CONVENTIONS.keys()


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_as_if_the_target_had_averaged(source, target):
    generator = np.random.default_rng(0)
    batches = [generator.normal(3, 2, (N, 2)) for _ in range(80)]  # so many that the initial 1 is forgotten
    (compute, momentum), (expect, other) = FORMULAS[source], FORMULAS[target]
    found = sn.convert_stats(compute(batches, momentum) | {"momentum": momentum}, source, target, n=N)
    expected = expect(batches, other)
    assert found.pop("momentum") == pytest.approx(other, abs=1e-15)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_there_and_back(source, target):
    names = CONVENTIONS[source]
    stats = {getattr(names, role): torch.rand(3) + 0.5 for role in ("mean", "var", "gamma", "beta")}
    stats |= {"momentum": 0.7, names.eps: 2e-4} | ({"fix_gamma": False} if source == "mxnet" else {})
    before = {name: v.clone() for name, v in stats.items() if isinstance(v, torch.Tensor)}
    there = sn.convert_stats(stats, source, target, n=32)
    back = sn.convert_stats(there, target, source, n=32)
    assert back.keys() == stats.keys()
    for name, value in stats.items():
        torch.testing.assert_close(torch.as_tensor(back[name]), torch.as_tensor(value))
    assert all(torch.equal(stats[name], v) for name, v in before.items())
    kept = sn.convert_stats(stats, source, target, n=float("inf"))
    assert torch.equal(kept[CONVENTIONS[target].var], stats[names.var])


DEFAULTS = {  # ε and momentum, from each framework's reference
    "torch": (1e-5, 0.1),
    "keras": (1e-3, 0.99),
    "tensorflow": (1e-3, 0.99),
    "flax": (1e-5, 0.99),
    "onnx": (1e-5, 0.9),
    "mxnet": (1e-3, 0.9),
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_defaults_are_the_source_s(name):
    eps, momentum = DEFAULTS[name]
    found = sn.convert_stats({}, name, name)
    assert found.pop("momentum") == pytest.approx(momentum, abs=1e-15)
    assert found[CONVENTIONS[name].eps] == eps


def test_defaults_run_the_target_s_way():
    assert sn.convert_stats({}, "keras", "torch") == {"momentum": 0.01, "eps": 1e-3}
    assert sn.convert_stats({}, "torch", "flax") == {"momentum": 0.9, "epsilon": 1e-5}
    assert sn.convert_stats({"momentum": None}, "torch", "torch")["momentum"] is None


@pytest.mark.parametrize("momentum", [0, 1, 0.9, 0.7, 0.01, 1e-3, 0.123456789, np.float64(0.3), np.float32(0.25)])
def test_momentum_the_other_way_is_the_decimal_number(momentum):
    expected = float(f"{1 - float(momentum):.12g}")
    assert sn.convert_stats({"momentum": momentum}, "torch", "keras")["momentum"] == expected


def test_two_values_have_an_unbiased_variance():
    assert sn.convert_stats({"running_var": 1.0}, "torch", "keras", n=2)["moving_variance"] == 0.5


def test_a_convention_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        CONVENTIONS["torch"].default_eps = 1.0


def test_gamma_of_mxnet():
    gamma = np.array([2.0, 3.0])
    assert sn.convert_stats({"gamma": gamma, "fix_gamma": True}, "mxnet", "torch")["weight"].tolist() == [1, 1]
    assert sn.convert_stats({"gamma": gamma, "fix_gamma": False}, "mxnet", "torch")["weight"].tolist() == [2, 3]
    assert sn.convert_stats({"weight": gamma}, "torch", "mxnet")["fix_gamma"] is False


@pytest.mark.parametrize(
    ("stats", "source", "target", "n", "message"),
    [
        ({}, "caffe", "torch", None, "must be one of torch.*received 'caffe'"),
        ({}, "torch", "caffe", None, "received 'caffe'"),
        ({"gamma": 1.0}, "torch", "keras", None, "torch calls these otherwise.*gamma"),
        ({"running_var": 1.0}, "torch", "keras", None, "n must be the number of values.*received None"),
        ({"running_var": 1.0}, "torch", "keras", 1, "above 1.*received 1"),
        ({"momentum": None}, "torch", "keras", None, "momentum must be a number"),
        ({"gamma": 1.0}, "mxnet", "torch", None, "needs fix_gamma"),
    ],
)
def test_errors(stats, source, target, n, message):
    with pytest.raises(ArgumentError, match=message):
        sn.convert_stats(stats, source, target, n=n)
