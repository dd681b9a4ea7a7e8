"""Whitening and its iteration against their loops."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import oracles
from method_inputs import EPS, HERE, hidden, vectors
from steadynorm import functional
from steadynorm.errors import DtypeError, ShapeError
from strategies import masked_inputs


@given(masked_inputs(), EPS, st.booleans(), st.booleans())
def test_whitening(x_and_mask, eps, by_feature, masked):
    x, mask = x_and_mask
    mask = mask if masked and bool(x_and_mask[1].any()) else None
    groups = x.shape[1] if by_feature else 1
    gamma, beta = vectors(x, 2)
    x = x / x.abs().max().clamp(min=1)  # beyond that the floor of eigenvalues counts, which the loops do not have
    given_x = x if mask is None else hidden(x, mask)
    y, _ = functional.whitening_norm(given_x, gamma, beta, groups=groups, eps=eps, mask=mask)
    assert_close(y, oracles.whitening_norm(x, gamma, beta, eps, groups, mask), **HERE)
    for iterations in (1, 5):
        y, _ = functional.iter_norm(given_x, gamma, beta, groups=groups, iterations=iterations, eps=eps, mask=mask)
        assert_close(y, oracles.iter_norm(x, gamma, beta, eps, groups, iterations, mask), **HERE)


def test_covariances_of_what_is_shown():
    x, mask = torch.randn(6, 4, 3, dtype=torch.float64), torch.rand(6, 1, 3) < 0.6
    n, mean, cov = functional.batch_covariance(hidden(x, mask), groups=2, mask=mask)
    shown = x.movedim(1, 0)[:, mask[:, 0]]
    assert n == shown.shape[1]
    assert_close(mean, shown.mean(1))
    assert_close(cov, torch.stack([torch.cov(group, correction=0) for group in shown.split(2)]))
    with pytest.raises(DtypeError, match="mask"):
        functional.batch_covariance(x, mask=mask.double())
    assert_close(functional.batch_covariance(x, mask=mask).unbiased_cov[0], torch.cov(shown))


def test_nothing_shown_has_no_covariance():
    x, mask = torch.randn(3, 2), torch.zeros(3, 1, dtype=torch.bool)
    n, mean, cov = functional.batch_covariance(x, mask=mask)
    assert n == 0
    assert_close(mean, torch.zeros(2))
    assert_close(cov, torch.zeros(1, 2, 2))


def test_what_cannot_be_whitened_is_refused():
    mean, matrix = torch.zeros(4), torch.eye(4)[None]
    with pytest.raises(ShapeError):
        functional.whiten(torch.randn(4), mean, matrix)
    with pytest.raises(DtypeError):
        functional.whiten(torch.ones(2, 4, dtype=torch.int64), mean, matrix)
    with pytest.raises(ShapeError, match=r"\(N, C, \*S\)"):  # of x, before a word about the mask
        functional.whitening_norm(torch.randn(4), eps=1e-5, mask=torch.ones(4, 1, dtype=torch.bool))


def test_defaults_are_one_group_and_five_iterations():
    x = torch.randn(9, 4, dtype=torch.float64)
    assert_close(functional.batch_covariance(x), functional.batch_covariance(x, groups=1))
    y, _ = functional.whitening_norm(x, eps=1e-5)
    assert torch.equal(y, functional.whitening_norm(x, groups=1, eps=1e-5)[0])
    y, _ = functional.iter_norm(x, eps=1e-5)
    assert torch.equal(y, functional.iter_norm(x, groups=1, iterations=5, eps=1e-5)[0])


def test_covariances_need_a_feature_axis():
    for x in (torch.randn(4), torch.randn(())):
        with pytest.raises(ShapeError, match="give each feature its own axis"):
            functional.batch_covariance(x)
