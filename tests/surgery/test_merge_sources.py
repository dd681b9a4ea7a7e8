"""Running statistics of several models merged without a process group."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.testing import assert_close

import steadynorm as sn
from steadynorm.errors import ArgumentError, ModelError
from surgery_models import assert_unchanged, state_of

EXAMPLES = [6, 4, 10]


def client(number):
    g = torch.Generator().manual_seed(number)
    x = torch.randn(EXAMPLES[number], 3, generator=g, dtype=torch.float64) * (1 + number) + 3 * number
    model = nn.Sequential(nn.BatchNorm1d(3), sn.nn.BatchNorm1d(3), nn.LayerNorm(3)).double()
    for layer in model[:2]:
        layer.running_mean.copy_(x.mean(0))
        layer.running_var.copy_(x.var(0, unbiased=False))
        layer.num_batches_tracked.fill_(number + 1)
    return model, x


@pytest.mark.parametrize("kind", ["models", "state_dicts", "wrapped", "compiled"])
def test_merged_is_the_variance_of_all_together(kind):
    clients, data = zip(*map(client, range(3)), strict=True)
    befores = [state_of(c) for c in clients]
    sources = {
        "models": lambda: list(clients),
        "state_dicts": lambda: [c.state_dict() for c in clients],
        "wrapped": lambda: [AveragedModel(clients[0]), clients[1], nn.DataParallel(clients[2]).state_dict()],
        "compiled": lambda: [torch.compile(clients[0]), torch.compile(clients[1]).state_dict(), clients[2]],
    }[kind]()
    server, _ = client(0)
    report = sn.merge_statistics_(server, sources, weights=EXAMPLES)
    every = torch.cat(data)
    for layer in server[:2]:
        assert_close(layer.running_mean, every.mean(0))
        assert_close(layer.running_var, every.var(0, unbiased=False))
        assert layer.num_batches_tracked == 3
    assert [row["done"] for row in report] == ["merged", "merged", "skipped"]
    for one, before in zip(clients, befores, strict=True):
        assert_unchanged(one, before)


def test_the_model_may_be_among_its_sources_and_be_the_layer():
    (a, _), (b, _) = client(1), client(2)
    mean = (a[0].running_mean + b[0].running_mean) / 2
    sn.merge_statistics_(a, [a, b])
    assert_close(a[0].running_mean, mean)
    layer = nn.BatchNorm1d(3)
    sn.merge_statistics_(layer, [b[0], b[0].state_dict()])
    assert_close(layer.running_var.double(), b[0].running_var, rtol=1e-6, atol=1e-6)


def test_what_the_model_lacks_is_said():
    small = nn.Sequential(nn.BatchNorm1d(3))
    report = sn.merge_statistics_(small, [client(1)[0]])
    assert report.notes == ["the sources also hold, and the model does not: 1.running_var"]


def test_old_checkpoints_without_a_counter():
    state = client(1)[0].state_dict()
    del state["0.num_batches_tracked"]
    server, _ = client(0)
    sn.merge_statistics_(server, [state])
    assert server[0].num_batches_tracked == 1  # its own
    assert server[1].num_batches_tracked == 2


def test_refusals_leave_the_model_as_it_was():
    server, _ = client(0)
    other, _ = client(1)
    before = state_of(server)

    def refused(error, match, *args, **options):
        with pytest.raises(error, match=match):
            sn.merge_statistics_(server, *args, **options)
        assert_unchanged(server, before)

    refused(ArgumentError, "a list of models or state_dicts, received Sequential", other)
    refused(ArgumentError, "a list of models or state_dicts, received OrderedDict", other.state_dict())
    refused(ArgumentError, "at least one", [])
    refused(ArgumentError, "weights must be 1 finite numbers, one a source", [other], weights=[1, 2])
    refused(ArgumentError, "not all 0", [other], weights=[0])
    refused(ArgumentError, r"source 1 has none", [other, nn.Sequential(nn.BatchNorm1d(3))])
    refused(ArgumentError, r"of shape \(3,\), source 0 has \(4,\)", [nn.Sequential(*[nn.BatchNorm1d(4)] * 3)])
    other[1].running_var[1] = torch.inf
    refused(ModelError, "those of 1 in source 0 are not", [other])
