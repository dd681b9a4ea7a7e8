"""Running statistics moved by one operator: its C++ beside the formula in torch's operators."""

import pytest
import torch
from torch.testing import assert_close

from steadynorm.functional import Moments, RunningStatistics, update_running_statistics
from steadynorm.kernels import move
from steadynorm.kernels.running import _move

C = 5


def running(dtype, rows, seed=0):
    generator = torch.Generator().manual_seed(seed)
    var = torch.rand((C, rows) if rows else (C,), generator=generator, dtype=torch.float64).to(dtype)
    mean = torch.randn(C, generator=generator, dtype=torch.float64).to(dtype)
    return RunningStatistics(mean, var, torch.tensor(3), torch.arange(C))


@pytest.mark.usefixtures("kernels_loaded")
@pytest.mark.parametrize("count", [None, 0.0, 1.0, 7.0])
@pytest.mark.parametrize("momentum", [0.1, 0.9, 1.0, 0.0, None])
@pytest.mark.parametrize("rows", [0, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_it_is_the_formula(dtype, rows, momentum, count):
    batch = running(dtype, rows, seed=1)
    n = None if count is None else torch.tensor(count, dtype=torch.float64)
    for broken in (None, torch.nan, torch.inf):
        mean, var = batch.mean.clone(), batch.var.clone()
        if broken is not None:
            mean[1] = var[3] = broken
        ours, plainly = running(dtype, rows), running(dtype, rows)
        versions = [v._version for v in ours]
        move(ours, mean, var, momentum, count=n, bessel=n is not None)
        _move(*plainly, mean, var, n, n is not None, momentum)
        assert_close(tuple(ours), tuple(plainly))
        assert [v._version for v in ours] != versions  # autograd hears of it
        unbiased = var if n is None else Moments(n, mean, var).unbiased_var
        present = None if n is None else n > 0
        expected = update_running_statistics(running(dtype, rows), mean, unbiased, momentum=momentum, present=present)
        assert_close(tuple(plainly), tuple(expected), rtol=0, atol=0)


def test_statistics_of_other_dtypes_and_strides_are_moved_by_torchs_operators():
    for of in (
        running(torch.bfloat16, 0),
        RunningStatistics(torch.zeros(2 * C)[::2], torch.ones(2 * C)[::2], torch.tensor(0), torch.zeros(C).long()),
    ):
        move(of, torch.full((C,), 2.0), torch.full((C,), 3.0), 1.0)
        assert_close(tuple(v.float() for v in of[:2]), (torch.full((C,), 2.0), torch.full((C,), 3.0)))


@pytest.mark.usefixtures("kernels_loaded")
def test_what_does_not_fit_is_refused_before_anything_is_moved():
    of = running(torch.float32, 0)
    for mean, var in ((torch.zeros(C + 1), torch.zeros(C)), (torch.zeros(C), torch.zeros(C, 2))):
        with pytest.raises(RuntimeError, match="a vector of"):
            move(of, mean, var, 0.1)
        assert_close(tuple(of), tuple(running(torch.float32, 0)), rtol=0, atol=0)
