"""What holds for every method: dtypes, empty batches, masks, refusals."""

from math import inf

import pytest
import torch
from torch.testing import assert_close

from steadynorm import functional
from steadynorm.errors import ArgumentError, DtypeError, ShapeError


def all_of_them(x, **options):
    """Every function on x, named; each may refuse what it is given."""
    running = {"running_mean": torch.zeros(3), "running_var": torch.ones(3)}
    return {
        "ghost": lambda: functional.ghost_batch_norm(x, ghost_batch_size=2, eps=1e-5, **options),
        "renorm": lambda: functional.batch_renorm(x, **running, r_max=2.0, d_max=1.0, eps=1e-5, **options),
        "lp": lambda: functional.lp_batch_norm(x, p=inf, eps=1e-5, **options),
        "whitening": lambda: functional.whitening_norm(x, eps=1e-5, **options),
        "iternorm": lambda: functional.iter_norm(x, eps=1e-5, **options),
        "weighted": lambda: (
            functional.example_weighted_norm(x, torch.zeros(3), torch.ones(3), alpha=0.5, eps=1e-5, **options),
        ),
    }


@pytest.mark.parametrize("name", all_of_them(None))
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_dtype_and_empty_batches(name, dtype):
    x = (torch.randn(4, 3, 2, 2) * 100).to(dtype)
    y = all_of_them(x)[name]()[0]
    assert y.dtype == dtype
    assert_close(y.float(), all_of_them(x.float())[name]()[0], rtol=2e-2, atol=2e-2)
    assert torch.isfinite(y).all()
    assert all_of_them(x[:0])[name]()[0].shape == (0, 3, 2, 2)


@pytest.mark.parametrize("name", all_of_them(None))
def test_what_a_mask_hides_reaches_no_gradient(name):
    mask = torch.rand(4, 1, 2, 2) < 0.6
    x, dy = torch.randn(2, 4, 3, 2, 2)
    gradients = []
    for behind in (0.0, torch.nan):
        leaf = torch.where(mask, x, behind).requires_grad_()
        y = all_of_them(leaf, mask=mask)[name]()[0]
        gradients.append(torch.autograd.grad(y, leaf, dy)[0])
    assert_close(*gradients)
    assert (gradients[1][~mask.expand_as(x)] == 0).all()


@pytest.mark.parametrize("name", all_of_them(None))
def test_bad_input_is_refused(name):
    x = torch.randn(4, 3, 2, 2)
    for bad, options, error in (
        (torch.randn(4), {}, ShapeError),
        (torch.randn(0), {}, ShapeError),
        (x.int(), {}, DtypeError),
        (x, {"mask": torch.ones(4, 1, 2, 2)}, DtypeError),
        (x, {"mask": torch.ones(4, 3, 2, 2).bool()}, ShapeError),
    ):
        with pytest.raises(error):
            all_of_them(bad, **options)[name]()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: functional.ghost_batch_norm(x, ghost_batch_size=0, eps=1e-5), "1 or more, received 0"),
        (lambda x: functional.ghost_batch_norm(x, ghost_batch_size=1.5, eps=1e-5), "an integer.*received 1.5"),
        (lambda x: functional.lp_batch_norm(x, p=3, eps=1e-5), "p must be 1, 2 or.*received 3"),
        (lambda x: functional.draw_noise(x, dose=-1), "dose must be 0 or more, received -1"),
        (lambda x: functional.batch_covariance(x, groups=2), "must divide the number of features 3, received 2"),
        (lambda x: functional.batch_covariance(x, groups=0), "received 0"),
        (lambda x: functional.whitening_norm(x, eps=-1), "eps must be 0 or more"),
        (lambda x: functional.iter_norm(x, eps=1e-5, iterations=0), "iterations must be 1 or more, received 0"),
        (
            lambda x: functional.example_weighted_norm(x, torch.zeros(3), torch.ones(3), alpha=1.1, eps=1e-5),
            "between 0 and 1, received 1.1",
        ),
        (
            lambda x: functional.batch_renorm(
                x, running_mean=torch.zeros(3), running_var=torch.ones(3), r_max=2.0, d_max=1.0, eps=-1.0
            ),
            "eps must be 0 or more",
        ),
    ],
)
def test_arguments_out_of_range(call, message):
    with pytest.raises(ArgumentError, match=message):
        call(torch.randn(4, 3, 2))
