"""Complex batch norm against the paper's formula, feature by feature, and against eigenvalues."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from method_inputs import EPS, HERE
from steadynorm import functional
from steadynorm.errors import ArgumentError, DtypeError, ShapeError
from steadynorm.functional.complex import as_pairs, from_pairs, inverse_root_of_pairs


def oracle(layer, x):
    return in_loops(x, layer.gamma, layer.beta, layer.eps)


def in_loops(x, gamma, beta, eps, mask=None):
    """Trabelsi et al. 2018, Sec 3.5, with the root by eigenvalues."""
    mask = torch.ones_like(x[:, :1], dtype=torch.bool) if mask is None else mask.expand(len(x), 1, *x.shape[2:])
    y = torch.zeros_like(x)
    for c in range(x.shape[1]):
        values = x[:, c][mask[:, 0]]
        d = x[:, c] - values.mean()
        parts = values - values.mean()
        rr, ii = (v.square().mean() + eps for v in (parts.real, parts.imag))
        ri = (parts.real * parts.imag).mean()
        v, q = torch.linalg.eigh(torch.stack([torch.stack([rr, ri]), torch.stack([ri, ii])]))
        w = q @ torch.diag(v**-0.5) @ q.T
        a, b, ab = gamma[c]
        z = torch.stack([d.real, d.imag]).flatten(1)
        out = torch.stack([torch.stack([a, ab]), torch.stack([ab, b])]) @ w @ z + beta[c][:, None]
        y[:, c] = torch.complex(*out).reshape(y[:, c].shape)
    return torch.where(mask, y, 0)


def drawn(seed, *shape):
    return torch.randn(*shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 1000), st.integers(2, 5), st.integers(1, 3), st.integers(0, 4), EPS, st.booleans())
def test_complex(seed, n, c, length, eps, masked):
    shape = (n, c, length) if length else (n, c)
    x = drawn(seed, *shape) * (1 + 2j) + drawn(seed + 1, *shape).conj() - 3 + 1j
    draw = torch.Generator().manual_seed(seed)
    gamma, beta = (torch.randn(c, k, generator=draw, dtype=torch.float64) for k in (3, 2))
    mask = None
    if masked:
        mask = torch.rand(n, 1, *shape[2:], generator=draw) < 0.7
        mask[0] = True
    given_x = x if mask is None else torch.where(mask, x, torch.nan)
    y, moments = functional.complex_batch_norm(given_x, gamma, beta, eps=eps, mask=mask)
    assert_close(y, in_loops(x, gamma, beta, eps, mask), **HERE)
    assert moments.mean.shape == (2 * c,)
    assert moments.cov.shape == (c, 2, 2)
    again = functional.complex_normalize(x, moments.mean, moments.cov, gamma, beta, eps=eps)
    assert_close(again if mask is None else torch.where(mask, again, 0), y, **HERE)


def test_the_parts_come_out_uncorrelated_with_variance_one():
    x = drawn(0, 200, 3, 4) * (2 - 1j) + drawn(1, 200, 3, 4).conj() * 1.5 + 7
    y, _ = functional.complex_batch_norm(x, eps=0.0)
    for c in range(3):
        cov = torch.cov(torch.stack([y[:, c].real.flatten(), y[:, c].imag.flatten()]), correction=0)
        assert_close(cov, torch.eye(2).double())
    turned, _ = functional.complex_batch_norm(x * 1j, eps=0.0)  # the plane turned: the output turns with it
    assert_close(turned, y * 1j)


def test_gradcheck():
    x, gamma, beta = drawn(0, 4, 2, 2), torch.randn(2, 3).double(), torch.randn(2, 2).double()
    leaves = [t.requires_grad_() for t in (x, gamma, beta)]
    assert torch.autograd.gradcheck(lambda *v: functional.complex_batch_norm(*v, eps=1e-3)[0], leaves)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_feature_on_a_line_stays_finite(scale):
    """Real and imaginary part are equal: only ε stands under one of the roots."""
    line = torch.randn(64, 1) * scale
    y, _ = functional.complex_batch_norm(torch.complex(line, line), eps=1e-5)
    assert torch.isfinite(torch.view_as_real(y)).all()


def test_the_closed_root_is_that_of_the_eigenvalues():
    a = torch.randn(50, 2, 3, dtype=torch.float64)
    cov = a @ a.mT
    root = inverse_root_of_pairs(cov, eps=1e-3)
    assert_close(root, functional.whitening_matrix(cov, eps=1e-3))
    with pytest.raises(ArgumentError, match="eps must be 0 or more"):
        inverse_root_of_pairs(cov, eps=-1)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5)])
@pytest.mark.parametrize("last", [False, True])
def test_pairs_and_back(shape, last):
    x = drawn(0, *shape)
    pairs = as_pairs(x, last=last)
    axis = -1 if last else 1
    first, second = pairs.movedim(axis, 0)[::2], pairs.movedim(axis, 0)[1::2]
    assert torch.equal(torch.complex(first, second), x.movedim(axis, 0))
    assert torch.equal(from_pairs(pairs, last=last), x)


def test_what_is_no_complex_feature_is_refused():
    mean, cov = torch.zeros(6), torch.eye(2).expand(3, 2, 2)
    with pytest.raises(DtypeError, match="needs a complex tensor"):
        functional.complex_batch_norm(torch.randn(4, 3), eps=1e-5)
    with pytest.raises(DtypeError, match="needs a complex tensor"):
        functional.complex_normalize(torch.randn(4, 3), mean, cov, eps=1e-5)
    with pytest.raises(ShapeError, match="the input must have shape"):
        functional.complex_batch_norm(drawn(0, 4), eps=1e-5)
