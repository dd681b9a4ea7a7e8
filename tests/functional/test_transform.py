import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.testing import assert_close

import oracles
from steadynorm.errors import ArgumentError, DtypeError, ShapeError
from steadynorm.functional import (
    batch_moments,
    batch_norm,
    batch_norm_backward,
    identity_affine,
    normalize,
)
from strategies import inputs, masked_inputs

EPS = st.sampled_from([1e-5, 1e-3, 1.0])


def affine(x, seed=1):
    generator = torch.Generator().manual_seed(seed)
    c = x.shape[1]
    return [torch.randn(c, generator=generator, dtype=x.dtype) for _ in range(2)]


@given(inputs(), EPS, st.booleans(), st.booleans())
def test_oracle(x, eps, has_gamma, has_beta):
    gamma, beta = affine(x)
    gamma, beta = gamma if has_gamma else None, beta if has_beta else None
    y, moments = batch_norm(x, gamma, beta, eps=eps)
    assert_close(y, oracles.batch_norm(x, gamma, beta, eps), rtol=1e-8, atol=1e-8)
    assert_close(moments.mean, oracles.moments(x)[1], rtol=1e-12, atol=1e-12)


@given(masked_inputs(), EPS)
def test_mask_oracle(x_and_mask, eps):
    x, mask = x_and_mask
    gamma, beta = affine(x)
    y, _ = batch_norm(torch.where(mask, x, torch.nan), gamma, beta, eps=eps, mask=mask)
    assert_close(y, oracles.batch_norm(x, gamma, beta, eps, mask), rtol=1e-8, atol=1e-8)


@given(inputs(), EPS)
def test_normalize_oracle(x, eps):
    gamma, beta = affine(x)
    mean, var = affine(x, seed=2)
    y = normalize(x, mean, var.square(), gamma, beta, eps=eps)
    assert_close(y, oracles.normalize(x, mean, var.square(), gamma, beta, eps), rtol=1e-10, atol=1e-10)


@given(inputs(), EPS, st.booleans())
def test_backward_oracle(x, eps, has_gamma):
    gamma = affine(x)[0] if has_gamma else None
    dy = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(3))
    found = batch_norm_backward(dy, x, gamma, batch_moments(x), eps=eps)
    for name, a, b in zip(
        ("dx", "dgamma", "dbeta"), found, oracles.batch_norm_backward(dy, x, gamma, eps), strict=True
    ):
        assert_close(a, b, rtol=1e-6, atol=1e-8, msg=lambda text, name=name: f"{name}: {text}")


@given(inputs(), EPS)
def test_backward_is_the_formulas_for_any_moments(x, eps):
    # with the batch's own mean one term is a sum that vanishes; with another mean it must be there all the same
    dy = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(3))
    moments = batch_moments(x)
    other = moments._replace(mean=moments.mean + 1, var=moments.var + 1)
    found = batch_norm_backward(dy, x, None, other, eps=eps)
    expected = oracles.batch_norm_backward(dy, x, None, eps, statistics=(other.mean, other.var))
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b, rtol=1e-6, atol=1e-8)


@given(masked_inputs(), EPS)
def test_backward_mask_oracle(x_and_mask, eps):
    x, mask = x_and_mask
    gamma = affine(x)[0]
    dy = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(3))
    hidden, dhidden = torch.where(mask, x, torch.nan), torch.where(mask, dy, torch.inf)
    found = batch_norm_backward(dhidden, hidden, gamma, batch_moments(hidden, mask=mask), eps=eps, mask=mask)
    for a, b in zip(found, oracles.batch_norm_backward(dy, x, gamma, eps, mask), strict=True):
        assert_close(a, b, rtol=1e-6, atol=1e-8)


@given(inputs(), EPS, st.booleans())
def test_the_six_formulas_agree_with_autograd(x, eps, masked):
    x = (x - x.mean()) / (x.abs().max() + 1e-9)  # of order one, so that an absolute bound means something
    mask = torch.rand(x.shape[0], 1, *x.shape[2:], generator=torch.Generator().manual_seed(4)) < 0.7 if masked else None
    gamma, beta = affine(x)
    leaves = [v.clone().requires_grad_() for v in (x, gamma, beta)]
    y, moments = batch_norm(*leaves, eps=eps, mask=mask)
    dy = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(5))
    expected = torch.autograd.grad(y, leaves, dy)
    found = batch_norm_backward(dy, leaves[0], leaves[1], moments, eps=eps, mask=mask)
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 4), (6, 3, 4, 5), (2, 3, 2, 3, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_torch_equivalence(shape, dtype):
    x = (torch.randn(shape, dtype=dtype) * 3 + 2).requires_grad_()
    gamma, beta = (v.requires_grad_() for v in affine(x.detach()))
    dy = torch.randn(shape, dtype=dtype)
    y, moments = batch_norm(x, gamma, beta, eps=1e-5)
    reference = F.batch_norm(x, None, None, gamma, beta, training=True)
    assert_close(y, reference)
    for a, b in zip(
        torch.autograd.grad(y, (x, gamma, beta), dy), torch.autograd.grad(reference, (x, gamma, beta), dy), strict=True
    ):
        assert_close(a, b)
    running = torch.zeros(3, dtype=dtype), torch.ones(3, dtype=dtype)
    F.batch_norm(x, *running, training=True, momentum=1.0)
    assert_close((moments.mean, moments.unbiased_var), running)


def test_gradcheck():
    x = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)
    gamma, beta = (v.requires_grad_() for v in affine(x.detach()))
    mask = torch.rand(3, 1, 3) < 0.7
    for m in (None, mask):
        transform = lambda x, g, b, m=m: batch_norm(x, g, b, eps=1e-3, mask=m)[0]  # noqa: E731
        assert torch.autograd.gradcheck(transform, (x, gamma, beta), check_forward_ad=True)
        assert torch.autograd.gradgradcheck(transform, (x, gamma, beta))

        def backward(dy, x, gamma, m=m):
            return batch_norm_backward(dy, x, gamma, batch_moments(x, mask=m), eps=1e-3, mask=m)

        dy = torch.randn_like(x, requires_grad=True)
        assert torch.autograd.gradcheck(backward, (dy, x, gamma), check_forward_ad=True)
        assert torch.autograd.gradgradcheck(backward, (dy, x, gamma))


def test_gradcheck_of_normalize():
    x = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)
    rest = [v.requires_grad_() for v in (*affine(x.detach()), *affine(x.detach(), 2))]
    rest[1] = rest[1].detach().abs().requires_grad_()
    assert torch.autograd.gradcheck(lambda *v: normalize(*v, eps=1e-3), (x, *rest), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda *v: normalize(*v, eps=1e-3), (x, *rest))


@given(inputs())
def test_the_output_is_standard(x):
    y, moments = batch_norm(x, eps=0.0)
    n, mean, var = oracles.moments(y)
    usable = moments.var > 1e-20
    assert_close(mean[usable], torch.zeros_like(mean)[usable], atol=1e-6, rtol=0)
    assert_close(var[usable], torch.ones_like(var)[usable], atol=1e-6, rtol=0)
    assert (y[:, usable].abs() <= (n - 1) ** 0.5 + 1e-6).all()  # no value lies further out than √(m−1)


@given(inputs(), EPS)
def test_gradients_sum_to_nothing(x, eps):
    # nothing that shifts the whole batch changes the output; with ε = 0 nothing that scales it either
    dy = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(3))
    axes = (0, *range(2, x.dim()))
    moments = batch_moments(x)
    natural = dy.abs().sum() / (moments.var + eps).sqrt()
    dx, *_ = batch_norm_backward(dy, x, None, moments, eps=eps)
    assert (dx.sum(axes).abs() <= 1e-9 * natural).all()
    if float(moments.var.min()) > 1e-12:
        y, _ = batch_norm(x, eps=0.0)
        dx, *_ = batch_norm_backward(dy, x, None, moments, eps=0.0)
        assert ((dx * y).sum(axes).abs() <= 1e-6 * dy.abs().sum() / moments.var.sqrt()).all()


@given(inputs(), EPS)
def test_identity(x, eps):
    y, moments = batch_norm(x, *identity_affine(batch_moments(x), eps=eps), eps=eps)
    assert_close(y, x, rtol=1e-10, atol=1e-8)
    gamma, beta = identity_affine(moments, eps=eps)
    assert_close(gamma.square() - eps, moments.var, rtol=1e-6, atol=1e-12)
    assert torch.equal(beta, moments.mean)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bits_are_computed_in_thirty_two(dtype):
    x = (torch.randn(64, 3) * 200 + 1000).to(dtype)
    gamma, beta = affine(x.float())
    y, moments = batch_norm(x, gamma, beta, eps=1e-5)
    assert y.dtype == dtype
    assert_close(y.double(), oracles.batch_norm(x, gamma, beta, 1e-5), rtol=2e-2, atol=2e-2)
    assert normalize(x, moments.mean, moments.var, eps=1e-5).dtype == dtype
    dx, dgamma, _ = batch_norm_backward(torch.ones_like(x), x, gamma, moments, eps=1e-5)
    assert dx.dtype == dtype
    assert dgamma.dtype == torch.float32


def test_wide_statistics_are_used_as_such():
    x = torch.full((2, 1), 1e8)
    mean = torch.tensor([1e8 + 1], dtype=torch.float64)  # no float32
    y = normalize(x, mean, torch.ones(1, dtype=torch.float64), eps=0.0)
    assert y.dtype == torch.float32
    assert_close(y, torch.full((2, 1), -1.0))
    dx, *_ = batch_norm_backward(x, x, None, batch_moments(x.double()), eps=1.0)
    assert dx.dtype == torch.float32


@pytest.mark.parametrize("scale", [1e-30, 1e-14, 1.0, 1e15])
def test_magnitudes(scale):
    x = torch.randn(50, 2)
    dy = torch.randn(50, 2)
    tiny = x * scale
    y, moments = batch_norm(tiny, eps=0.0 if scale > 1e-18 else 1e-5)  # below, float32 has no square
    assert torch.isfinite(y).all()
    assert all(torch.isfinite(v).all() for v in batch_norm_backward(dy, tiny, None, moments, eps=1e-5))
    if scale > 1e-18:
        assert_close(y, batch_norm(x, eps=0.0)[0], rtol=1e-3, atol=1e-4)
        dx, *_ = batch_norm_backward(dy, tiny, None, moments, eps=0.0)
        expected, *_ = batch_norm_backward(dy, x, None, batch_moments(x), eps=0.0)
        assert_close(dx * scale, expected, rtol=1e-3, atol=1e-4)


def test_a_large_mean_does_not_hide_the_deviation():
    x = torch.randn(4096, 3) * 1e-2 + 1e4
    y, _ = batch_norm(x, eps=1e-12)
    reference = oracles.batch_norm(x, None, None, 1e-12)
    # the mean itself is rounded to float32, half a unit of 1e-3, against a deviation of 1e-2
    assert_close(y.double() - y.double().mean(0), reference - reference.mean(0), rtol=1e-2, atol=1e-2)


def test_one_value_gives_beta():
    beta = torch.tensor([0.5, -1.0])
    y, _ = batch_norm(torch.tensor([[3.0, 7.0]]), torch.ones(2), beta, eps=1e-5)
    assert_close(y, beta[None])


def test_empty_batch():
    y, moments = batch_norm(torch.empty(0, 3, 2), torch.ones(3), torch.ones(3), eps=1e-5)
    assert y.shape == (0, 3, 2)
    assert int(moments.count) == 0


def test_hidden_values_leave_no_trace_in_gradients():
    x = torch.randn(4, 2, 3).double()
    mask = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 0]]).bool()[:, None]
    poisoned = torch.where(mask, x, torch.nan).requires_grad_()
    gamma = torch.ones(2).double().requires_grad_()
    y, _ = batch_norm(poisoned, gamma, eps=1e-5, mask=mask)
    y.square().sum().backward()
    assert (poisoned.grad[~mask.expand_as(x)] == 0).all()
    assert torch.isfinite(poisoned.grad).all()
    assert torch.isfinite(gamma.grad).all()


def functions(x, gamma, beta):
    def loss(x, gamma, beta):
        y, moments = batch_norm(x, gamma, beta, eps=1e-3)
        dx, dgamma, dbeta = batch_norm_backward(y, x, gamma, moments, eps=1e-3)
        return y.sin().sum() + dx.square().sum() + (dgamma * dbeta).sum()

    return loss


def test_torch_func():
    x = torch.randn(3, 4, 2, 3, dtype=torch.float64)
    gamma, beta = affine(x[0])
    loss = functions(x, gamma, beta)
    by_hand = torch.stack([torch.func.grad(loss)(one, gamma, beta) for one in x])
    assert_close(torch.func.vmap(torch.func.grad(loss), in_dims=(0, None, None))(x, gamma, beta), by_hand)
    tangent = torch.randn_like(x[0])
    _, slope = torch.func.jvp(lambda v: loss(v, gamma, beta), (x[0],), (tangent,))
    assert_close(slope, (by_hand[0] * tangent).sum())
    mask = torch.rand(3, 4, 1, 3) < 0.6
    masked = torch.func.vmap(lambda x, m: batch_norm(x, eps=1e-3, mask=m)[0])(x, mask)
    assert_close(masked[1], batch_norm(x[1], eps=1e-3, mask=mask[1])[0])


@pytest.mark.parametrize("masked", [False, True])
def test_compile(masked):
    x = torch.randn(4, 2, 3)
    mask = torch.rand(4, 1, 3) < 0.6 if masked else None
    compiled = torch.compile(batch_norm, fullgraph=True, backend="aot_eager")
    y, moments = compiled(x, eps=1e-3, mask=mask)
    expected, expected_moments = batch_norm(x, eps=1e-3, mask=mask)
    assert_close(y, expected)
    assert_close(tuple(moments), tuple(expected_moments))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: batch_norm(torch.zeros(3), eps=1e-5), ShapeError, r"received \(3,\)"),
        (lambda: batch_norm(torch.zeros(3), eps=1e-5, mask=torch.ones(3, 1).bool()), ShapeError, "own axis"),
        (lambda: batch_norm(torch.zeros(3, 2).long(), eps=1e-5), DtypeError, "floating-point"),
        (lambda: batch_norm(torch.zeros(3, 2), eps=-1e-5), ArgumentError, "eps must be 0 or more, received -1e-05"),
        (lambda: batch_norm(torch.zeros(3, 2), eps=float("nan")), ArgumentError, "received nan"),
        (lambda: batch_norm(torch.zeros(3, 2), eps=1.0, mask=torch.ones(3, 1)), DtypeError, r"use mask.bool\(\)"),
        (lambda: normalize(torch.zeros(3), torch.zeros(1), torch.ones(1), eps=0.0), ShapeError, "own axis"),
        (
            lambda: batch_norm_backward(torch.zeros(3), torch.zeros(3), None, batch_moments(torch.ones(2, 1)), eps=0.0),
            ShapeError,
            "own axis",
        ),
        (
            lambda: batch_norm_backward(
                torch.zeros(2, 1), torch.zeros(2, 1), None, batch_moments(torch.ones(2, 1)), eps=-1.0
            ),
            ArgumentError,
            "eps",
        ),
        (
            lambda: batch_norm_backward(
                torch.zeros(2, 1), torch.zeros(2, 1), None, batch_moments(torch.ones(2, 1)), eps=0.0, mask=torch.ones(1)
            ),
            DtypeError,
            "mask",
        ),
        (lambda: identity_affine(batch_moments(torch.ones(2, 1)), eps=-1.0), ArgumentError, "eps"),
    ],
)
def test_errors(call, error, words):
    with pytest.raises(error, match=words):
        call()
