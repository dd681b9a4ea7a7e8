"""SyncBatchNorm on several processes equals batch norm on the joined batch in one."""

import copy
import pickle
from unittest import mock

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

import steadynorm as sn
from ranks import run_on_ranks
from steadynorm import kernels
from steadynorm.nn import dispatch

TIGHT = {"rtol": 1e-12, "atol": 1e-12}
SIZES = [(5, 2), (3, 0, 4), (1, 4, 0, 2)]  # uneven, empty, a single example
SPACES = {0: (), 1: (3,), 2: (2, 3), 3: (2, 1, 3)}
PLAIN = {0: sn.nn.BatchNorm1d, 1: sn.nn.BatchNorm1d, 2: sn.nn.BatchNorm2d, 3: sn.nn.BatchNorm3d}
CASES = [
    {"space": space, "mask": mask, "residual": residual, "activation": activation, "momentum": momentum}
    for space in SPACES
    for mask, residual, activation, momentum in [
        (False, False, None, 0.1),
        (False, True, "relu", None),
        (True, False, "silu", 0.3),
        (True, True, None, 0.1),
    ]
]


def draw(case, examples):
    """Examples that move away from 0 one by one, so that ranks differ in mean."""
    g = torch.Generator().manual_seed(5)
    shape = (examples, 3, *SPACES[case["space"]])
    x, residual, dy = (torch.randn(shape, generator=g, dtype=torch.float64) for _ in range(3))
    x += torch.arange(examples).reshape(-1, *[1] * (x.dim() - 1))
    mask = torch.rand((examples, 1, *shape[2:]), generator=g) < 0.6
    return x, residual if case["residual"] else None, mask if case["mask"] else None, dy


def build(case, kind):
    layer = kind(3, activation=case["activation"], momentum=case["momentum"]).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, -1.0, 2.0]))
        layer.bias.copy_(torch.tensor([0.1, 0.2, -0.3]))
    return layer


def use(layer, x, residual, mask, dy):
    """Two uses in one forward, the second on what the first made; everything that comes of it."""
    x = x.clone().requires_grad_()
    residual = None if residual is None else residual.clone().requires_grad_()
    y = layer(layer(x, residual, mask) + x, residual, mask)
    y.backward(dy)
    return {
        "y": y.detach(),
        "dx": x.grad,
        "dr": None if residual is None else residual.grad,
        "dgamma": layer.weight.grad,
        "dbeta": layer.bias.grad,
        "state": layer.state_dict(),
    }


def use_part(rank, sizes):
    found = []
    for case in CASES:
        x, residual, mask, dy = (None if v is None else v.split(sizes)[rank] for v in draw(case, sum(sizes)))
        found.append(use(build(case, sn.nn.SyncBatchNorm), x, residual, mask, dy))
    return found


def check_parts(sizes, results):
    for case, *found in zip(CASES, *results, strict=True):
        expected = use(build(case, PLAIN[case["space"]]), *draw(case, sum(sizes)))
        for name in ("y", "dx", "dr"):
            if expected[name] is not None:
                together = torch.cat([f[name] for f in found])
                assert_close(together, expected[name], **TIGHT)
        for name in ("dgamma", "dbeta"):  # local sums
            assert_close(sum(f[name] for f in found), expected[name], **TIGHT)
        for f in found:
            assert_close(f["state"], expected["state"], **TIGHT)
            for name, value in f["state"].items():
                assert torch.equal(value, found[0]["state"][name]), name  # bit for bit


def network():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 6), nn.BatchNorm1d(6)
    ).double()


STEPS = [torch.randn(7, 2, 4, 4, generator=torch.Generator().manual_seed(s), dtype=torch.float64) for s in range(5)]


def train(model, steps, scale=1.0, accumulate=False):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for number, x in enumerate(steps):
        with model.no_sync() if accumulate and number % 2 == 0 and number < 4 else torch.enable_grad():
            (scale * (model(x) - 1).pow(2).sum() / 7).backward()
        if not accumulate or number % 2 == 1 or number == 4:
            optimizer.step()
            optimizer.zero_grad()
    return {name.removeprefix("module."): v for name, v in model.state_dict().items()}


class Checkpointed(nn.Module):
    def __init__(self, inner, reentrant):
        super().__init__()
        self.inner, self.reentrant = inner, reentrant

    def forward(self, x):
        return checkpoint(self.inner, x.requires_grad_(), use_reentrant=self.reentrant)


def train_part(rank, sizes):
    parts = [x.split(sizes)[rank] for x in STEPS]
    found = {}
    for way in ("broadcast", "no broadcast", "no_sync"):
        model = network()
        sn.synchronize_(model)
        ddp = DistributedDataParallel(model, forward_sync_buffers=way == "broadcast")
        found[way] = train(ddp, parts, scale=len(sizes), accumulate=way == "no_sync")
    for way, reentrant in (("checkpointed", False), ("checkpointed, reentrant", True)):
        model = network()
        sn.synchronize_(model)
        ddp = DistributedDataParallel(Checkpointed(model, reentrant))
        state = train(ddp, parts, scale=len(sizes))
        found[way] = {n.removeprefix("inner."): v for n, v in state.items()}
    return found


class Plain(nn.Sequential):
    no_sync = staticmethod(torch.enable_grad)


def check_training(results):
    for way in results[0]:
        expected = train(Plain(*network()), STEPS, accumulate=way == "no_sync")
        for found in results:
            assert_close(found[way], expected, **TIGHT)
            for name, value in found[way].items():
                assert "running" not in name or torch.equal(value, results[0][way][name]), name


def count_numbers(rank):
    counted = []

    def counting(name, numbers):
        function = getattr(dist, name)

        def call(*args, **kwargs):
            counted.append((name, numbers(*args), str(args[-1].dtype)))
            return function(*args, **kwargs)

        return call

    allowed = {"all_gather": lambda every, mine: mine.numel(), "all_reduce": lambda sums: sums.numel()}
    refused = dict.fromkeys(("broadcast", "all_gather_object", "all_gather_single", "reduce", "gather", "barrier"))
    with mock.patch.multiple(dist, **{name: counting(name, n) for name, n in allowed.items()}, **refused):
        layer = sn.nn.SyncBatchNorm(7, activation="relu")
        layer(torch.randn(3 + rank, 7, 2, requires_grad=True)).sum().backward()
        layer.eval()(torch.randn(3, 7))  # nothing
    return counted


def edges(rank):
    group = dist.new_group([0, 2])
    found = {}
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(rank)) + rank
    layer = sn.nn.SyncBatchNorm(3, process_group=group)
    layer(x)  # rank 1 is no member: alone
    found["group"] = layer.running_mean
    found["copy"] = copy.deepcopy(layer).process_group is layer.process_group is group
    found["pickle"] = pickle.loads(pickle.dumps(layer)).process_group
    for dtype in (torch.float16, torch.bfloat16):
        layer = sn.nn.SyncBatchNorm(3, dtype=dtype)
        leaf = x[: 4 * (rank != 1)].to(dtype).requires_grad_()  # rank 1 has none, and takes part by other operators
        y = layer(leaf)
        y.square().sum().backward()
        found[dtype] = y.detach(), leaf.grad, layer.running_var
    try:
        sn.nn.SyncBatchNorm(3)(x[: rank == 1])  # one value on all ranks together
    except ValueError as error:
        found["one"] = error
    layer = sn.nn.SyncBatchNorm(3)
    with sn.paused_statistics(layer):
        layer(x)
    layer(x[:0])  # no value anywhere
    found["nothing"] = copy.deepcopy(layer.state_dict())
    layer(torch.where(torch.tensor([rank == 0, False, False]), torch.nan, x))
    found["nan"] = layer.running_mean.clone(), layer.skipped_updates.clone()
    found["compiled"] = torch.compile(layer, backend="eager")(x) - layer(x)
    x.requires_grad_()
    try:
        (dx,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
        dx.sum().backward()
    except RuntimeError as error:
        found["twice"] = str(error)
    return found


def check_edges(results):
    inputs = [torch.randn(4, 3, generator=torch.Generator().manual_seed(rank)) + rank for rank in range(3)]
    for rank, found in enumerate(results):
        together = inputs[1] if rank == 1 else torch.cat([inputs[0], inputs[2]])
        assert_close(found["group"], 0.1 * together.mean(0))
        assert found["copy"]
        assert found["pickle"] is None
        assert "on all ranks together" in str(found["one"])
        fresh = sn.nn.SyncBatchNorm(3).state_dict()
        assert_close(found["nothing"], fresh, rtol=0, atol=0)
        assert found["nan"][0][0] == 0
        assert (found["nan"][0][1:] != 0).all()
        assert found["nan"][1].tolist() == [1, 0, 0]
        assert torch.equal(found["compiled"], torch.zeros(4, 3))
        assert "second derivatives" in found["twice"] or "once_differentiable" in found["twice"]
    for dtype in (torch.float16, torch.bfloat16):
        joined = torch.cat([inputs[0], inputs[2]]).to(dtype).requires_grad_()
        layer = sn.nn.BatchNorm1d(3, dtype=dtype)
        y = layer(joined)
        y.square().sum().backward()
        eps = torch.finfo(dtype).eps
        assert results[0][dtype][0].dtype == dtype
        assert_close(torch.cat([found[dtype][0] for found in results]), y.detach(), rtol=2 * eps, atol=2 * eps)
        assert_close(torch.cat([found[dtype][1] for found in results]), joined.grad, rtol=8 * eps, atol=8 * eps)
        assert_close(results[0][dtype][2], layer.running_var, rtol=1e-5, atol=1e-6)


def everything(rank, sizes):
    """All of the above: a group of processes is started once."""
    assert kernels.load() or kernels.status().startswith(("off", "none"))
    found = {"parts": use_part(rank, sizes), "training": train_part(rank, sizes)}
    with mock.patch.object(dispatch.kernels, "ready", return_value=False):
        found["parts by torch's operators"] = use_part(rank, sizes)
    if len(sizes) == 3:
        found |= {"edges": edges(rank), "numbers": count_numbers(rank)}
    return found


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_equal_to_one_process(sizes):
    results = run_on_ranks(len(sizes), everything, sizes)
    check_parts(sizes, [result["parts"] for result in results])
    check_parts(sizes, [result["parts by torch's operators"] for result in results])
    check_training([result["training"] for result in results])
    if len(sizes) == 3:
        check_edges([result["edges"] for result in results])
        for result in results:
            forward, backward = ("all_gather", 2 * 7 + 1, "torch.float64"), ("all_reduce", 2 * 7, "torch.float32")
            assert result["numbers"] == [forward, backward]


def test_alone_it_is_batch_norm():
    x = torch.randn(4, 3, 2, 2)
    ours, plain = sn.nn.SyncBatchNorm(3), sn.nn.BatchNorm2d(3)
    assert torch.equal(ours(x), plain(x))
    assert_close(ours.state_dict(), plain.state_dict(), rtol=0, atol=0)
    with pytest.raises(ValueError, match="more than 1 value"):
        ours(x[:1, :, :1, :1])
    assert isinstance(ours, nn.modules.batchnorm._BatchNorm)
    with pytest.raises(ValueError, match="expected 2D or 3D or 4D or 5D input"):
        ours(torch.randn(3))
