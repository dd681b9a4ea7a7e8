"""Domains: the switch nests and is each thread's own, the layers are apart, checkpoints of plain layers load."""

import copy
import io
import pickle
import threading

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import steadynorm as sn
from steadynorm.errors import ArgumentError, ModelError
from steadynorm.nn import DomainBatchNorm2d, domain

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
