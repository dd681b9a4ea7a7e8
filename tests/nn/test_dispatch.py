"""Which calls the kernels take, and which they leave to torch."""

import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import steadynorm as sn
from steadynorm.kernels.operators import operators
from steadynorm.nn.dispatch import code_for

pytestmark = pytest.mark.usefixtures("kernels_loaded")


class Wrapped(torch.Tensor):
    pass


def way(x, residual=None, weight=None, mean=None):
    return code_for(x, residual, weight, weight, mean)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_ordinary_calls_go_to_the_kernel(dtype):
    x = torch.randn(4, 3, 5, 5).to(dtype)
    wide = torch.ones(3, dtype=torch.promote_types(dtype, torch.float32))
    for y in (x, x.to(memory_format=torch.channels_last), x[:, :, ::2], x.requires_grad_(), x[:, :, 0, 0]):
        assert way(y, y, wide, wide) == "kernel"
    with torch.no_grad():
        assert way(x) == "kernel"
    with torch.inference_mode():
        assert way(x) == "kernel"


def test_everything_else_goes_to_torch():
    x = torch.randn(4, 3)
    vector = torch.ones(3)
    for arguments in (
        (x.half(),),
        (x.to("meta"),),
        (x[:0],),
        (x.as_subclass(Wrapped),),
        (x, x.double()),
        (x, x.as_subclass(Wrapped)),
        (x, None, vector.half()),
        (x, None, vector.double()),
        (x, None, vector, vector.double()),
        (x.double(), None, vector, vector.double()),
    ):
        assert way(*arguments) == "torch"
    with FlopCounterMode(display=False):
        assert way(x) == "torch"
    with torch.autograd.forward_ad.dual_level():
        assert way(x) == "torch"
    assert torch.func.vmap(lambda v: v * (way(v) == "torch"))(x[None]).sum() == x.sum()
    traced = []
    torch.jit.trace(lambda v: traced.append(way(v)) or v + 1, x, check_trace=False)
    assert traced == ["torch"]


def test_layers_that_share_a_tensor_of_a_mask_or_of_sixteen_bits_still_run():
    layer = sn.nn.BatchNorm1d(3, activation="gelu")
    x = torch.randn(6, 3)
    mask = torch.ones(6, 1).bool()
    assert torch.allclose(layer(x), layer(x, mask=mask), atol=1e-6)
    assert layer(x.half()).dtype == torch.float16


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("recorded", [True, False])
def test_few_frames_of_ours_are_between_a_call_and_its_operator(training, recorded):
    """A Python frame costs about what a small image's normalization does."""
    layer, x = sn.nn.BatchNorm2d(3).train(training), torch.randn(2, 3, 4, 4, requires_grad=recorded)
    operator = (operators.forward if training else operators.normalize).default
    found = []

    def see(frame, event, argument):
        if event == "call" and frame.f_locals.get("self") is operator:
            while frame is not None:
                found.append(frame.f_code.co_filename)
                frame = frame.f_back

    with torch.set_grad_enabled(recorded):
        layer(x)
        sys.setprofile(see)
        try:
            layer(x)
        finally:
            sys.setprofile(None)
    ours = [file for file in found if str(Path(sn.__file__).parent) in file]
    assert 0 < len(ours) <= 4
