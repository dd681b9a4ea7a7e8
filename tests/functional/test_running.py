import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import oracles
from steadynorm.functional import RunningStatistics, update_running_statistics

FLOATS = st.floats(-1e3, 1e3)


def start(features=1, dtype=torch.float64):
    return RunningStatistics.initial(torch.empty(features, dtype=dtype))


def one(mean, var):
    return torch.tensor([mean], dtype=torch.float64), torch.tensor([var], dtype=torch.float64)


@given(st.lists(st.tuples(FLOATS, st.floats(0, 1e3)), max_size=6), st.sampled_from([0.0, 0.1, 0.7, 1.0, None]))
def test_oracle(batches, momentum):
    running = start()
    for mean, var in batches:
        running = update_running_statistics(running, *one(mean, var), momentum=momentum)
    expected = oracles.running_average(batches, momentum)
    assert_close((float(running.mean), float(running.var)), expected, rtol=1e-9, atol=1e-9)
    assert int(running.num_batches_tracked) == len(batches)
    assert int(running.skipped_updates) == 0


def test_initial():
    mean, var, tracked, skipped = start(3, torch.float32)
    assert mean.tolist() == [0, 0, 0]
    assert var.tolist() == [1, 1, 1]
    assert tracked.shape == ()
    assert skipped.tolist() == [0, 0, 0]
    assert tracked.dtype == skipped.dtype == torch.int64
    assert mean.dtype == var.dtype == torch.float32


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("where", ["mean", "var"])
def test_a_bad_feature_is_skipped_and_counted(bad, where):
    mean, var = torch.tensor([1.0, 1.0]).double(), torch.tensor([2.0, 2.0]).double()
    (mean if where == "mean" else var)[0] = bad
    running = update_running_statistics(start(2), mean, var, momentum=0.5)
    assert_close(running.mean.tolist(), [0.0, 0.5])
    assert_close(running.var.tolist(), [1.0, 1.5])
    assert running.skipped_updates.tolist() == [1, 0]
    assert int(running.num_batches_tracked) == 1  # the batch was offered, as torch counts


def test_with_equal_weights_a_bad_batch_counts_for_no_feature():
    good = torch.tensor([2.0, 4.0]).double()
    bad = torch.tensor([torch.nan, 100.0]).double()
    running = start(2)
    for mean in (good, bad, 3 * good):
        running = update_running_statistics(running, mean, torch.ones(2).double(), momentum=None)
    assert_close(running.mean, 2 * good)  # (1 + 3) / 2
    assert int(running.num_batches_tracked) == 2
    assert running.skipped_updates.tolist() == [1, 0]


@pytest.mark.parametrize("momentum", [0.3, None])
def test_an_absent_batch_changes_nothing(momentum):
    before = update_running_statistics(start(), *one(3.0, 4.0), momentum=momentum)
    for values in (one(0.0, torch.nan), one(5.0, 5.0)):
        after = update_running_statistics(before, *values, momentum=momentum, present=torch.tensor(False))
        assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))
    present = update_running_statistics(before, *one(5.0, 6.0), momentum=momentum, present=torch.tensor(True))
    assert_close(tuple(present), tuple(update_running_statistics(before, *one(5.0, 6.0), momentum=momentum)))


@pytest.mark.parametrize("momentum", [0.5, None])
@pytest.mark.parametrize(("row", "column"), [(None, None), (1, 0), (0, 2)])
def test_rows_of_a_covariance_are_refused_as_a_whole(momentum, row, column):
    covariance = torch.arange(9.0).double().reshape(3, 3)
    if row is not None:
        covariance[row, column] = torch.inf
    before = start(3)._replace(var=torch.eye(3).double())
    running = update_running_statistics(before, torch.full((3,), 4.0).double(), covariance, momentum=momentum)
    refused = torch.arange(3) == row if row is not None else torch.zeros(3, dtype=torch.bool)
    kept = refused if momentum is not None else refused.any().expand(3)
    a = 1.0 if momentum is None else momentum
    assert_close(running.var, torch.where(kept[:, None], before.var, torch.lerp(before.var, covariance, a)))
    assert_close(running.mean, torch.where(kept, 0.0, 4.0 * a).double())
    assert running.skipped_updates.tolist() == refused.long().tolist()


def test_nothing_is_changed_in_place():
    running = start()
    update_running_statistics(running, *one(3.0, 4.0), momentum=0.5)
    assert_close(tuple(running), tuple(start()))


def test_the_running_dtype_is_kept():
    running = start(dtype=torch.float32)
    moved = update_running_statistics(running, *one(3.0, 4.0), momentum=None)
    assert moved.mean.dtype == moved.var.dtype == torch.float32
    wide = update_running_statistics(start(), *(v.float() for v in one(3.0, 4.0)), momentum=0.1)
    assert wide.mean.dtype == torch.float64
    assert_close(float(wide.mean), 0.3, rtol=1e-12, atol=0)  # the momentum is not rounded to float32
