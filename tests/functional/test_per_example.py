"""Group and layer norm with a mask: as each example alone, without its padding."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.testing import assert_close

from method_inputs import EPS, HERE
from steadynorm import functional
from steadynorm.errors import ArgumentError, DtypeError, ShapeError


@given(st.integers(0, 1000), st.integers(1, 4), st.sampled_from([1, 2, 4]), EPS)
def test_group_norm_is_that_of_each_example_without_its_padding(seed, n, groups, eps):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, 6, generator=draw, dtype=torch.float64) * 3 + 1
    gamma, beta = (torch.randn(4, generator=draw, dtype=torch.float64) for _ in range(2))
    lengths = torch.randint(1, 7, (n,), generator=draw)
    mask = (torch.arange(6) < lengths[:, None]).unsqueeze(1)
    y = functional.group_norm(torch.where(mask, x, torch.nan), groups, gamma, beta, eps=eps, mask=mask)
    for i, length in enumerate(lengths.tolist()):
        values = x[i, :, :length].reshape(groups, -1)
        alone = (values - values.mean(1, keepdim=True)) / (values.var(1, correction=0, keepdim=True) + eps).sqrt()
        expected = alone.reshape(4, length) * gamma[:, None] + beta[:, None]
        assert_close(y[i, :, :length], expected, **HERE)
        assert (y[i, :, length:] == 0).all()
    assert_close(functional.group_norm(x, groups, gamma, beta, eps=eps), F.group_norm(x, groups, gamma, beta, eps))


@given(st.integers(0, 1000), EPS)
def test_layer_norm_over_positions_leaves_the_padding_out(seed, eps):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(3, 5, 4, generator=draw, dtype=torch.float64) - 2
    lengths = torch.randint(1, 6, (3,), generator=draw)
    mask = (torch.arange(5) < lengths[:, None]).unsqueeze(2)
    hidden = torch.where(mask, x, torch.nan)
    tokens = functional.layer_norm(hidden, (4,), eps=eps, mask=mask)
    assert_close(tokens, torch.where(mask, F.layer_norm(x, (4,), eps=eps), 0))
    whole = functional.layer_norm(hidden, (5, 4), eps=eps, mask=mask)
    for i, length in enumerate(lengths.tolist()):
        assert_close(whole[i, :length], F.layer_norm(x[i, :length], (length, 4), eps=eps), **HERE)


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 5), (3, 4, 5, 2), (3, 4, 2, 5, 2)])
def test_every_number_of_axes(shape):
    x, gamma, beta = torch.randn(shape).double(), torch.randn(4).double(), torch.randn(4).double()
    assert_close(functional.group_norm(x, 2, gamma, beta, eps=0.1), F.group_norm(x, 2, gamma, beta, 0.1))
    last = x.movedim(1, -1)
    assert_close(functional.layer_norm(last, (4,), gamma, beta, eps=0.1), F.layer_norm(last, (4,), gamma, beta, 0.1))


def test_what_is_hidden_is_0_whatever_beta_is():
    x, mask = torch.randn(2, 3, 4), torch.tensor([[[True], [False], [True]]])
    y = functional.layer_norm(x, (4,), torch.full((4,), 2.0), torch.full((4,), 3.0), eps=1e-5, mask=mask)
    assert (y[:, 1] == 0).all()
    assert_close(y[:, ::2], 2 * F.layer_norm(x, (4,))[:, ::2] + 3)


def test_gradcheck():
    x = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    gamma, beta = (torch.randn(4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    mask = (torch.arange(5) < torch.tensor([5, 2, 0])[:, None]).unsqueeze(1)
    assert torch.autograd.gradcheck(
        lambda *v: functional.group_norm(v[0], 2, *v[1:], eps=1e-3, mask=mask), (x, gamma, beta)
    )
    last = mask.transpose(1, 2)
    assert torch.autograd.gradcheck(lambda x: functional.layer_norm(x.transpose(1, 2), (4,), eps=1e-3, mask=last), (x,))


def test_16_bits_and_large_means():
    x = torch.randn(2, 4, 100) * 1e-2 + 1e4
    y = functional.group_norm(x, 2, eps=0.0)
    assert_close(y.var(), torch.tensor(1.0), atol=0.02, rtol=0)
    assert functional.group_norm(x.bfloat16(), 2, eps=1e-5).dtype is torch.bfloat16


def test_arguments():
    x = torch.randn(2, 4, 5)
    with pytest.raises(ArgumentError, match="num_groups must divide the 4 features, received 3"):
        functional.group_norm(x, 3, eps=1e-5)
    for groups in (0, -1):
        with pytest.raises(ArgumentError, match=f"received {groups}"):
            functional.group_norm(x, groups, eps=1e-5)
    with pytest.raises(ArgumentError, match="eps must be 0 or more"):
        functional.group_norm(x, 2, eps=-1.0)
    with pytest.raises(ShapeError, match="the input must have shape"):
        functional.group_norm(torch.randn(4), 2, eps=1e-5)
    with pytest.raises(ShapeError, match=r"must broadcast to \(N, 1, \*S\)"):
        functional.group_norm(x, 2, eps=1e-5, mask=torch.ones(2, 4, 5).bool())
    with pytest.raises(ShapeError, match=r"the last axes must be \(4,\)"):
        functional.layer_norm(x, (4,), eps=1e-5)
    with pytest.raises(ShapeError, match="as many axes"):
        functional.layer_norm(x, (5,), eps=1e-5, mask=torch.ones(2, 4).bool())
    with pytest.raises(DtypeError, match="must be boolean"):
        functional.layer_norm(x, (5,), eps=1e-5, mask=torch.ones(2, 4, 1))
