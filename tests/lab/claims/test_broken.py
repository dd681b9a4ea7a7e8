"""Formulas of the package broken on purpose, in place: the verdicts of the claims that rest on them change."""

import inspect
import textwrap

import pytest
import torch

from madeup_claims import settled
from steadynorm import functional
from steadynorm.errors import FoldError
from steadynorm.functional import Moments
from steadynorm.lab.catalogue import every_claim
from steadynorm.lab.claims.bias.overflow import stall
from steadynorm.lab.claims.network import folding


def verdict_of(id: str, preset: str = "smoke") -> str:
    return settled(every_claim()[id], preset)["verdict"]


@pytest.fixture
def rewrite(monkeypatch):
    """Let a function of the package, wherever it is imported, read otherwise."""

    def rewrite(function, old, new):
        source = textwrap.dedent(inspect.getsource(function))
        assert source.count(old) == 1, "the formula reads differently now: break it anew"
        names = dict(function.__globals__)
        exec(source.replace(old, new), names)
        changed = names[function.__name__]
        code = changed.fget.__code__ if isinstance(changed, property) else changed.__code__
        monkeypatch.setattr(function, "__code__", code)

    return rewrite


@pytest.mark.parametrize(
    ("function", "old", "new", "changes"),
    [
        (  # the path through the variance: only the sum of ∂ℓ/∂x still vanishes
            functional.batch_norm_backward,
            "+ dvar * 2 * centred / m",
            "",
            {"transform/gradients": ("confirmed", "partly")},
        ),
        (  # an ε that is never nothing
            functional.normalize,
            "(var + eps)",
            "(var + eps + 1e-3)",
            {
                "scale/invariance": ("confirmed", "refuted"),
                "transform/two-values": ("confirmed", "refuted"),
                "scale/trajectory": ("confirmed", "refuted"),
            },
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_formula_broken_on_purpose_changes_verdicts(function, old, new, changes, rewrite):
    before = {id: verdict_of(id) for id in changes}
    rewrite(function, old, new)
    assert {id: (before[id], verdict_of(id)) for id in changes} == changes


def test_population_statistics_without_the_factor(rewrite):
    assert verdict_of("statistics/bessel", "quick") == "confirmed"
    rewrite(Moments.unbiased_var.fget, "torch.where(n > 1, n / (n - 1), torch.nan).to(self.var.dtype)", "1.0")
    assert verdict_of("statistics/bessel", "quick") == "partly"  # large batches do not tell


def test_an_affine_map_that_forgets_the_mean(rewrite, monkeypatch):
    right = folding.fold_affine

    def broken(mean, var, gamma=None, beta=None, *, eps):
        return right(torch.zeros_like(mean), var, gamma, beta, eps=eps)

    values = folding.measure(0)
    assert values["error of the affine map"] < 1e-12
    with monkeypatch.context() as patch:
        patch.setattr(folding, "fold_affine", broken)
        assert folding.measure(0)["error of the affine map"] > 0.05
        assert folding.measure(0)["error in an unpadded convolution behind"] > 0.05
    rewrite(functional.fold_affine, "beta - scale * mean", "beta")
    with pytest.raises(FoldError):  # in the package itself the tool notices before any verdict
        folding.measure(0)


@pytest.mark.parametrize(("step", "dtype"), [(0.1, torch.float16), (0.03, torch.bfloat16), (0.9, torch.float16)])
def test_the_stalled_bias_is_that_of_single_steps(step, dtype):
    b, before = torch.zeros((), dtype=dtype), None
    while b != before:
        b, before = b + torch.tensor(step, dtype=dtype), b
    assert stall(step, dtype) == float(b)
