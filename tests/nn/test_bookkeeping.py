"""What moving the running statistics costs: operator calls, which are launches on a device, and waits for it."""

from contextlib import nullcontext

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode

import steadynorm as sn
from steadynorm.nn.catalogue import CATALOGUE

METHODS = {row.name: row for row in CATALOGUE if issubclass(row.layers[2], _BatchNorm)}
BEYOND = 4
"""Operator calls a layer that the bookkeeping may cost, beyond torch's own."""

WAITS = {"aten::_local_scalar_dense", "aten::item", "aten::nonzero", "aten::equal", "aten::is_nonzero"}


class Calls(TorchDispatchMode):
    """The names of all operators that run."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        self.names.append(operator._schema.name)
        return operator(*args, **(kwargs or {}))


def calls(layer, x):
    with Calls() as seen:
        layer(x)
    return seen.names


def made(name, **options):
    """A layer of a method, an input, and the block in which it runs; of complex features there are twice as many."""
    row = METHODS[name]
    x = torch.randn(4, 6, 5, 5)
    x = torch.complex(x[:, :3], x[:, 3:]) if row.complex else x
    layer = row.layers[2](x.shape[1], **row.options, **options)
    return layer, x.requires_grad_(), sn.nn.condition(1) if name == "conditional" else nullcontext()


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("name", METHODS)
def test_moving_the_statistics_takes_few_calls_and_waits_for_nothing(name, momentum):
    layer, x, block = made(name, momentum=momentum)
    with block:
        with sn.paused_statistics(layer):
            without = calls(layer, x)
        moving = calls(layer, x)
    assert layer.num_batches_tracked == 1
    assert len(without) < len(moving) <= len(without) + BEYOND
    assert not WAITS & set(moving)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["batch", "sync"])
def test_batch_norm_takes_few_calls_more_than_torchs(name, training, dtype):
    layer, x, _ = made(name)
    theirs = torch.nn.BatchNorm2d(6).to(dtype).train(training)
    ours, torchs = (calls(of.to(dtype).train(training), x.to(dtype)) for of in (layer, theirs))
    assert len(ours) <= len(torchs) + BEYOND
    assert not WAITS & set(ours)


@pytest.mark.parametrize("name", METHODS)
def test_evaluation_waits_for_nothing(name):
    layer, x, block = made(name)
    with block:
        found = calls(layer.eval(), x)
    assert not WAITS & set(found)
    if name in ("ghost", "renorm", "lp", "noisy"):  # by running statistics they are batch norm
        assert len(found) <= len(calls(torch.nn.BatchNorm2d(6).eval(), x)) + BEYOND


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("kernels", ["kernels", "torch"])
def test_compiled_it_is_one_graph_and_stays_it(kernels, momentum, request, monkeypatch):
    if kernels == "kernels":
        request.getfixturevalue("kernels_loaded")
    else:
        monkeypatch.setattr(sn.nn.dispatch.kernels, "loaded", lambda: False)
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    layer, eager = (sn.nn.BatchNorm2d(6, momentum=momentum) for _ in range(2))
    compiled = torch.compile(layer, backend=backend, fullgraph=True)
    torch.manual_seed(0)
    for _ in range(4):
        x = torch.randn(4, 6, 5, 5)
        torch.testing.assert_close(compiled(x), eager(x))
    assert len(graphs) == 1
    torch.testing.assert_close(layer.state_dict(), eager.state_dict())
    assert layer.num_batches_tracked == 4
