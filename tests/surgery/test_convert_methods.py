"""Every row of the catalogue is reached by convert_, takes what a batch norm has, and gives it back."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import steadynorm as sn
from steadynorm.nn.catalogue import CATALOGUE
from surgery_models import NOTHING_DONE

# In evaluation these compute something else than batch norm, from the same statistics.
REAL = [method for method in CATALOGUE if not method.complex]
OTHERWISE = {"iternorm", "virtual", "weighted"}
SETTINGS = {"ghost": "ghost_batch_size=2", "lp": "p=1", "virtual": "reference_size=2", "weighted": "alpha=0.1"}


def model(dims):
    kind = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dims]
    net = nn.Sequential(kind(4, momentum=0.3, eps=1e-3), nn.ReLU())
    for _ in range(2):
        net(torch.randn(8, 4, *[3] * dims) * torch.tensor([1.0, 2, 4, 8]).reshape(1, 4, *[1] * dims) + 1)
    with torch.no_grad():
        net[0].weight.normal_()
        net[0].bias.normal_()
    return net.eval()


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("method", REAL, ids=lambda m: m.name)
def test_there_and_back(method, dims):
    net = model(dims)
    before, x = copy.deepcopy(net.state_dict()), torch.randn(2, 4, *[3] * dims)
    expected, gamma = net(x), net[0].weight
    (row,) = sn.convert_(net, method.name, **method.options)
    assert isinstance(net[0], method.layers[dims])
    assert tuple(key.removeprefix("0.") for key in net.state_dict()) == method.state
    with sn.nn.domain("one"), sn.nn.condition(1):
        y = net(x)
    assert torch.allclose(y, expected, atol=1e-5) == (method.name not in OTHERWISE)

    again = nn.Sequential(method.layers[dims](4, momentum=0.3, eps=1e-3, **method.options), nn.ReLU())
    assert str(again.load_state_dict(net.state_dict())) == "<All keys matched successfully>"
    assert str(again.load_state_dict(before)) == "<All keys matched successfully>"  # an old checkpoint
    with sn.nn.domain("one"), sn.nn.condition(0):
        assert_close(again.eval()(x), y)

    assert row.get("lost") is None
    if method.name == "domain":  # one of its layers is the batch norm
        assert row["new"].split(", ") == [f"domain_{d}.{k}" for d in ("one", "two") for k in ("weight", "bias")]
        assert_close(net[0].domains["two"].state_dict(), model_state(before), rtol=0, atol=0)
        gamma = net[0].domains["two"].weight
        with sn.nn.domain("two"):
            (row,) = sn.convert_(net, "torch")
        assert row.get("lost").split(", ") == [f"domain_one.{key.removeprefix('0.')}" for key in before]
        assert net[0].weight is gamma
        assert_close(net.state_dict(), before, rtol=0, atol=0)
        assert torch.equal(net(x), expected)
        return
    if method.name == "conditional":  # each class starts with γ and β, and the way back keeps no class's
        assert row["new"] == "class_weight, class_bias"
        assert_close(net[0].class_weight, gamma.expand(2, -1))
        (row,) = sn.convert_(net, "torch")
        assert row["lost"] == "class_weight, class_bias, num_classes=2"
        return
    assert row.get("new") is None
    assert net[0].weight is gamma
    (row,) = sn.convert_(net, "torch")
    lost = "running_cov" if "running_cov" in method.state else SETTINGS.get(method.name)
    assert row.get("lost") == lost
    assert net[0].weight is gamma
    assert (net[0].momentum, net[0].eps) == (0.3, 1e-3)
    assert_close(net.state_dict(), before, rtol=0, atol=0)
    assert torch.equal(net(x), expected)


@NOTHING_DONE
def test_a_domain_is_chosen_or_the_layer_stays():
    net = nn.Sequential(sn.nn.DomainBatchNorm2d(4, domains=["one", "two"]), nn.ReLU())
    kept = copy.deepcopy(net.state_dict())
    (row,) = sn.convert_(net, "torch")
    assert (row["layer"], row["done"]) == ("0", "skipped")
    assert "has the domains one, two: choose one" in row["why"]
    with sn.nn.domain("three"):
        (row,) = sn.convert_(net, "group")
    assert row["done"] == "skipped"
    assert_close(net.state_dict(), kept, rtol=0, atol=0)


@pytest.mark.parametrize("shared", [False, True])
def test_one_of_the_domains_as_the_batch_norm_that_it_is_and_calibrated_as_another(shared):
    net = nn.Sequential(sn.nn.DomainBatchNorm2d(4, domains=["one", "two"], shared_affine=shared, activation="relu"))
    part, seen, x = net[0].domains["two"], [], torch.randn(8, 4, 5, 5) * 3 + 2
    with sn.nn.domain("two"):
        net(x)
        expected = net.eval()(x)
        net[0].register_forward_hook(lambda *_: seen.append(1))
        sn.convert_(net, "batch")
    assert isinstance(net[0], sn.nn.BatchNorm2d)
    assert net[0].weight is part.weight
    assert torch.equal(net(x), expected)
    assert seen == [1]

    net = nn.Sequential(sn.nn.DomainBatchNorm2d(4, domains=["one", "two"], shared_affine=shared))
    with sn.nn.domain("one"):
        net(x)
        wanted = net.eval()(x)
        (row,) = sn.convert_(net, "group", num_groups=2, batches=[x])
    assert row["done"] == "calibrated"
    assert_close(net(x).mean((0, 2, 3)), wanted.mean((0, 2, 3)))


def model_state(state):
    return type(state)((key.removeprefix("0."), value) for key, value in state.items())


def test_only_the_diagonal_of_a_covariance_comes_back():
    net = nn.Sequential(sn.nn.WhiteningNorm2d(4, groups=2))
    net(torch.randn(8, 4, 2, 2) @ torch.rand(2, 2))
    cov = net[0].running_cov.clone()
    sn.convert_(net, "batch")
    assert_close(net[0].running_var, torch.cat([group.diagonal() for group in cov]))


@pytest.mark.parametrize("method", REAL, ids=lambda m: m.name)
@NOTHING_DONE
def test_a_layer_in_place_becomes_any_other(method):
    net = nn.Sequential(nn.Conv2d(3, 4, 1), sn.nn.BatchNorm2d(4, inplace=True))
    (row,) = sn.convert_(net, method.name, **method.options)
    kept = method.name in ("batch", "weighted", "domain")  # in training these are batch norm
    assert row.get("lost") == (None if kept else "inplace=True")
    assert isinstance(net[1], method.layers[2])
