"""The inverse root, its floor, and its derivatives, at equal eigenvalues too."""

import pytest
import torch
from torch.testing import assert_close

from steadynorm.functional._roots import inverse_root, newton_inverse_root


def matrix(*eigenvalues, dtype=torch.float64):
    """Symmetric, with these eigenvalues, in a random frame."""
    frame, _ = torch.linalg.qr(torch.randn(len(eigenvalues), len(eigenvalues), dtype=torch.float64))
    return (frame @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ frame.T).to(dtype)


def test_it_is_the_inverse_root():
    a = torch.stack([matrix(1.0, 2.0, 5.0), matrix(0.1, 0.1, 30.0)])
    w = inverse_root(a)
    assert_close(w @ a @ w, torch.eye(3).double().expand(2, 3, 3))
    assert_close(w, w.mT)
    assert_close(newton_inverse_root(a, 40), w, rtol=1e-6, atol=1e-6)
    errors = [float((newton_inverse_root(a, n) - w).abs().max()) for n in (1, 3, 5, 7, 9, 11)]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("eigenvalues", [(1.0, 2.0, 5.0), (2.0, 2.0, 2.0), (1.0, 1.0 + 1e-9, 4.0), (1.0, 1.0, 3.0)])
def test_derivatives_where_eigenvalues_meet(eigenvalues):
    """Against finite differences: first and second, backward and forward."""
    a = matrix(*eigenvalues).requires_grad_()

    def call(a):
        return inverse_root((a + a.mT) / 2)

    assert torch.autograd.gradcheck(call, a, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(call, a, check_fwd_over_rev=True)
    frame = torch.linalg.eigh(a.detach())[1]
    assert torch.isfinite(frame).all()


@pytest.mark.parametrize("root", [inverse_root, lambda a: newton_inverse_root(a, 7)], ids=["exact", "newton"])
def test_matrices_may_be_stacked_in_any_way(root):
    a = torch.stack([matrix(1.0, 2.0, 4.0, 5.0 + i) for i in range(6)])
    each = torch.stack([root(m) for m in a])
    assert_close(root(a), each)
    assert_close(root(a.reshape(2, 3, 4, 4)), each.reshape(2, 3, 4, 4))


def test_per_example_gradients():
    a = torch.stack([matrix(1.0, 2.0), matrix(3.0, 3.0)])
    each = torch.stack([torch.func.grad(lambda m: inverse_root(m).sum())(m) for m in a])
    assert_close(torch.vmap(torch.func.grad(lambda m: inverse_root(m).sum()))(a), each)


@pytest.mark.parametrize("stacked", [(), (1,), (1, 1)])
def test_eigenvalues_that_rounding_made_negative_are_raised(stacked):
    a = matrix(1e6, 1.0, 0.0, dtype=torch.float32) - 1e-3 * torch.eye(3)
    w = inverse_root(a.reshape(*stacked, 3, 3)).reshape(3, 3)
    assert torch.isfinite(w).all()
    assert float(torch.linalg.eigvalsh(w)[-1]) <= 1.05 / (1e6 * 3 * torch.finfo(torch.float32).eps) ** 0.5


def test_one_bad_matrix_spoils_itself_only():
    a = torch.stack([matrix(*range(1, 9))] * 2)  # of 8 rows: LAPACK gives up on a NaN, and torch raises
    a[0, 0, 0] = torch.nan
    a.requires_grad_()
    w = inverse_root(a)
    assert torch.isnan(w[0]).all()
    assert torch.isfinite(w[1]).all()
    w[1].sum().backward()
    assert torch.isfinite(a.grad[1]).all()


def test_it_compiles_whole():
    a = matrix(1.0, 2.0, 5.0).requires_grad_()

    def slope(a):
        return inverse_root(a).square().sum()

    compiled = torch.compile(slope, backend="aot_eager", fullgraph=True)
    gradients = [torch.autograd.grad(call(a), a)[0] for call in (slope, compiled)]
    assert_close(*gradients)
