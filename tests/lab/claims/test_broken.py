"""Formulas broken on purpose: the verdicts of the claims that rest on them change."""

import pytest
import torch

from steadynorm.lab.claims import network, scale, statistics, transform
from steadynorm.lab.claims.bias.overflow import stall
from steadynorm.lab.claims.measuring import measure
from steadynorm.lab.claims.registry import CLAIMS


def verdict_of(id: str, preset: str = "smoke") -> str:
    return measure(CLAIMS[id], preset)["verdict"]


def test_a_backward_without_the_path_through_the_variance(monkeypatch):
    assert verdict_of("transform/gradients") == "confirmed"

    def broken(dy, x, gamma, moments, *, eps):
        inv_std = (moments.var + eps).rsqrt()
        dx_hat = dy * gamma
        x_hat = (x - moments.mean) * inv_std
        return (dx_hat - dx_hat.mean(0)) * inv_std, (dy * x_hat).sum(0), dy.sum(0)

    monkeypatch.setattr(transform.gradients, "batch_norm_backward", broken)
    assert verdict_of("transform/gradients") == "partly"  # only the sum of ∂ℓ/∂x still vanishes


def test_population_statistics_without_the_factor(monkeypatch):
    assert verdict_of("statistics/bessel", "quick") == "confirmed"
    right = statistics.bessel.batch_moments

    class Biased:
        def __init__(self, x):
            self.mean, self.var = right(x)[1:]
            self.unbiased_var = self.var

    monkeypatch.setattr(statistics.bessel, "batch_moments", Biased)
    assert verdict_of("statistics/bessel", "quick") == "partly"  # large batches do not tell


def test_an_affine_map_that_forgets_the_mean(monkeypatch):
    right = network.folding.fold_affine

    def broken(mean, var, gamma=None, beta=None, *, eps):
        return right(torch.zeros_like(mean), var, gamma, beta, eps=eps)

    values = network.folding.measure(0)
    assert values["error of the affine map"] < 1e-12
    monkeypatch.setattr(network.folding, "fold_affine", broken)
    assert network.folding.measure(0)["error of the affine map"] > 0.05
    assert network.folding.measure(0)["error in an unpadded convolution behind"] > 0.05


def test_an_epsilon_that_is_never_nothing(monkeypatch):
    right = scale.invariance.batch_norm
    assert verdict_of("scale/invariance") == "confirmed"
    monkeypatch.setattr(scale.invariance, "batch_norm", lambda x, eps: right(x, eps=eps + 1e-3))
    assert verdict_of("scale/invariance") == "refuted"


@pytest.mark.parametrize(("step", "dtype"), [(0.1, torch.float16), (0.03, torch.bfloat16), (0.9, torch.float16)])
def test_the_stalled_bias_is_that_of_single_steps(step, dtype):
    b, before = torch.zeros((), dtype=dtype), None
    while b != before:
        b, before = b + torch.tensor(step, dtype=dtype), b
    assert stall(step, dtype) == float(b)
