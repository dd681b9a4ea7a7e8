"""Domains: the switch nests and is each thread's own, the layers are apart, checkpoints of plain layers load."""

import copy
import io
import pickle
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

import steadynorm as sn
from steadynorm.errors import ArgumentError, DtypeError, ModelError, ShapeError
from steadynorm.nn import DomainBatchNorm1d, DomainBatchNorm2d, domain

NAMES = ["photo", "train"]  # a name may be that of a module's method


def make(**options):
    return DomainBatchNorm2d(3, domains=NAMES, **options)


def batch(centre=0.0):
    return torch.randn(4, 3, 2, 2) + centre


def test_a_domain_moves_its_own_statistics_only():
    layer = make()
    with domain("photo"):
        layer(batch(5.0))
    photo, train = layer.domains["photo"], layer.domains["train"]
    assert [int(v.num_batches_tracked) for v in (photo, train)] == [1, 0]
    assert (photo.running_mean > 0.3).all()
    assert_close(train.running_mean, torch.zeros(3))


def test_blocks_nest_and_end():
    layer = make()
    with domain("photo"):
        with domain("train"):
            assert layer.active is layer.domains["train"]
        assert layer.active is layer.domains["photo"]
        with pytest.raises(KeyError), domain("train"):
            raise KeyError
        assert layer.active is layer.domains["photo"]
    with pytest.raises(ModelError, match="a domain must be active, one of photo, train"):
        layer(batch())


def test_each_thread_has_its_own():
    layer, seen, barrier = make(), {}, threading.Barrier(2)

    def work(name):
        with domain(name):
            barrier.wait()
            seen[name] = layer.active
            barrier.wait()

    threads = [threading.Thread(target=work, args=(name,)) for name in NAMES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == dict(layer.domains)


def test_an_unknown_name_is_an_error_and_changes_nothing():
    layer = make()
    before = copy.deepcopy(layer.state_dict())
    with domain("sketch"), pytest.raises(ArgumentError, match="one of photo, train, received 'sketch'"):
        layer(batch())
    assert_close(layer.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("domains", [[], "photo", ["a", "a"], ["a.b"]])
def test_names_are_checked(domains):
    with pytest.raises(ArgumentError, match="domains must be different names"):
        DomainBatchNorm2d(3, domains=domains)


@pytest.mark.parametrize("shared", [False, True])
def test_affine_parameters_are_shared_or_not(shared):
    layer = make(shared_affine=shared)
    assert len(list(layer.parameters())) == (2 if shared else 4)
    with domain("photo"):
        layer(batch()).square().sum().backward()
    grads = [layer.domains[name].bias.grad for name in NAMES]
    assert (grads[0] is grads[1]) == shared

    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    with torch.device("meta"):
        loaded = make(shared_affine=shared)
    loaded.load_state_dict(torch.load(file, weights_only=True), assign=True)
    for copied in (loaded, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert (copied.domains["photo"].weight is copied.domains["train"].weight) == shared
        assert_close(copied.state_dict(), layer.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, sn.nn.BatchNorm2d])
def test_a_plain_checkpoint_loads_into_every_domain(kind):
    plain = nn.Sequential(kind(3))
    plain(batch(3.0))
    model = nn.Sequential(make())
    assert str(model.load_state_dict(plain.state_dict())) == "<All keys matched successfully>"
    for name in NAMES:
        assert_close(model[0].domains[name].state_dict(), plain[0].state_dict(), rtol=0, atol=0)
    with domain("photo"):
        model(batch())
    assert int(model[0].domains["train"].num_batches_tracked) == 1  # copies, not one tensor


def test_tools_for_batch_norms_reach_each():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), make())
    data = [batch(2.0) for _ in range(3)]
    with domain("photo"):
        report = sn.recalibrate_(model, data)
    assert {row["layer"]: row["done"] for row in report} == {
        "1.domain_photo": "recalibrated",
        "1.domain_train": "skipped",
    }
    before = copy.deepcopy(model.state_dict())
    with domain("train"), sn.paused_statistics(model):
        model.train()(data[0])
    assert_close(model.state_dict(), before, rtol=0, atol=0)


def test_fx_leaves_the_choice_to_the_run():
    model = nn.Sequential(make(), nn.ReLU()).eval()
    model[0].domains["photo"].running_mean.fill_(1.0)
    traced = torch.fx.symbolic_trace(model)
    x = batch()
    for name in NAMES:
        with domain(name):
            assert torch.equal(traced(x), model(x))


def test_compile_follows_the_switch():
    layer = make().eval()
    layer.domains["photo"].running_mean.fill_(1.0)
    compiled = torch.compile(layer, backend="aot_eager")
    x = batch()
    for name in ("photo", "train", "photo"):
        with domain(name):
            assert_close(compiled(x), layer(x))
    torch._dynamo.reset()


# --- a domain for each example ----------------------------------------------------------------------------------------


@given(st.integers(0, 1000), st.integers(4, 12), st.booleans(), st.booleans())
@settings(deadline=None)
def test_mixed_batches_are_split_by_domain(seed, n, training, shared):
    torch.manual_seed(seed)
    numbers = torch.cat([torch.tensor([0, 0, 2, 2]), torch.randint(3, (n - 4,))])[torch.randperm(n)]
    if (numbers == 1).sum() == 1:
        numbers[numbers == 1] = 0
    layer = DomainBatchNorm1d(3, domains=["a", "b", "c"], shared_affine=shared, activation="relu").double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    layer.train(training)
    twin = copy.deepcopy(layer)
    x, residual = torch.randn(2, n, 3, dtype=torch.float64)
    with domain(numbers):
        y = layer(x, residual)
    for i, name in enumerate(layer.domains):
        rows = numbers == i
        if rows.any():
            with domain(name):
                assert_close(y[rows], twin(x[rows], residual[rows]))
    assert_close(layer.state_dict(), twin.state_dict())


def test_masks_gradients_and_absent_domains():
    layer = DomainBatchNorm1d(2, domains=["a", "b", "c"]).double()
    numbers = torch.tensor([2, 0, 0, 2])
    x = torch.randn(4, 2, 5, dtype=torch.float64, requires_grad=True)
    mask = torch.arange(5) < torch.tensor([5, 3, 4, 2])[:, None, None]
    before = copy.deepcopy(layer.domains["b"].state_dict())
    with domain(numbers), sn.paused_statistics(layer):
        assert torch.autograd.gradcheck(lambda x: layer(x, mask=mask), (x,))
    with domain(numbers):
        layer(x, mask=mask)
    assert_close(layer.domains["b"].state_dict(), before, rtol=0, atol=0)
    assert int(layer.domains["c"].num_batches_tracked) == 1


def test_a_domain_of_one_value_changes_no_domain():
    layer = DomainBatchNorm1d(3, domains=["a", "b"])
    before = copy.deepcopy(layer.state_dict())
    with domain(torch.tensor([0, 0, 1])), pytest.raises(ShapeError, match="'domain_b'"):
        layer(torch.randn(3, 3))
    assert_close(layer.state_dict(), before, rtol=0, atol=0)
    layer = DomainBatchNorm1d(3, domains=["a", "b"], single_value="running")
    with domain(torch.tensor([0, 0, 1])):
        layer(torch.randn(3, 3))
    assert [int(v.num_batches_tracked) for v in layer.domains.values()] == [1, 0]


@pytest.mark.parametrize(
    ("numbers", "error", "message"),
    [
        (torch.tensor([0, 1, 2, 0]), ArgumentError, "from 0 to 1, received 2"),
        (torch.tensor([0, 1]), ShapeError, r"of shape \(4,\), received \(2,\)"),
        (torch.tensor(1), ShapeError, r"of shape \(N,\)"),
        (torch.zeros(4), DtypeError, "must be integers"),
    ],
)
def test_numbers_are_checked(numbers, error, message):
    layer = DomainBatchNorm1d(3, domains=["a", "b"])
    with domain(numbers), pytest.raises(error, match=message):
        layer(torch.randn(4, 3))
    with pytest.raises(ArgumentError, match="received int"), domain(3):
        pass


@pytest.mark.parametrize("number", [-1, 2])
def test_compiled_numbers_out_of_range_lose_no_example(number):
    layer = DomainBatchNorm1d(3, domains=["a", "b"])
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    with domain(torch.tensor([0, 0, 1, 1, number])), pytest.raises(ArgumentError, match="numbers from 0 to 1"):
        torch.compile(layer, backend="eager")(torch.randn(5, 3))
    assert_close(layer.state_dict(), before, rtol=0, atol=0)


def test_an_empty_batch_and_the_last_axis():
    layer = DomainBatchNorm1d(3, domains=["a", "b"])
    with domain(torch.zeros(0).long()):
        assert layer(torch.randn(0, 3)).shape == (0, 3)
    last = DomainBatchNorm1d(3, domains=["a", "b"], channel_axis=-1)
    last.load_state_dict(layer.state_dict())
    x = torch.randn(4, 5, 3)
    with domain(torch.tensor([0, 1, 1, 0])):
        assert_close(last(x), layer(x.transpose(1, 2)).transpose(1, 2))


def test_tools_see_each_domains_own_examples():
    model = nn.Sequential(DomainBatchNorm1d(3, domains=["a", "b"]))
    batches = [torch.cat([torch.randn(8, 3) + 5, torch.randn(8, 3) - 5]) for _ in range(5)]

    def run(model, batch):
        with domain(torch.arange(16) // 8):
            return model(batch)

    sn.recalibrate_(model, batches, forward=run)
    means = [layer.running_mean.mean() for layer in model[0].domains.values()]
    assert means[0] > 4
    assert means[1] < -4
    assert not sn.diagnose(model, batches, forward=run, rules=["far-from-data"]).findings
    with pytest.warns(sn.errors.NothingDoneWarning), domain(torch.arange(16) // 8):
        (row,) = [row for row in sn.convert_(model, "torch") if row["kind"].startswith("Domain")]
    assert "choose one by steadynorm.nn.domain" in row["why"]
