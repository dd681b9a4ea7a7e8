"""The drop-in contract with torch, and what our layers do beyond it."""

import copy
import inspect
import pickle
import re

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.testing import assert_close

import oracles
import steadynorm as sn
from steadynorm.functional import PaperEstimator, batch_moments, population_statistics
from steadynorm.nn import ACTIVATIONS

pytestmark = pytest.mark.usefixtures("either_way")

PAIRS = [
    (sn.nn.BatchNorm1d, nn.BatchNorm1d, (4, 3, 5)),
    (sn.nn.BatchNorm2d, nn.BatchNorm2d, (4, 3, 5, 2)),
    (sn.nn.BatchNorm3d, nn.BatchNorm3d, (4, 3, 2, 2, 2)),
]
LAZY = [
    (sn.nn.LazyBatchNorm1d, nn.LazyBatchNorm1d, sn.nn.BatchNorm1d, (4, 3)),
    (sn.nn.LazyBatchNorm2d, nn.LazyBatchNorm2d, sn.nn.BatchNorm2d, (4, 3, 5, 2)),
    (sn.nn.LazyBatchNorm3d, nn.LazyBatchNorm3d, sn.nn.BatchNorm3d, (4, 3, 2, 2, 2)),
]
pairs = pytest.mark.parametrize(("ours", "theirs", "shape"), PAIRS)


def outcome(call):
    """What a call gives: its value, or the type of built-in and the words of its error."""
    try:
        return call()
    except (ValueError, RuntimeError) as error:
        return next(t for t in (ValueError, RuntimeError) if isinstance(error, t)), str(error)


# --- the contract -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "theirs"), [p[:2] for p in PAIRS + LAZY])
def test_constructor(ours, theirs):
    mine, torchs = (inspect.signature(c).parameters for c in (ours, theirs))
    assert list(mine)[: len(torchs)] == list(torchs)
    for name, parameter in torchs.items():
        assert mine[name].kind == parameter.kind, name
        assert mine[name].default == parameter.default, name
    assert [p for p in mine if p not in torchs] == ["activation", "inplace", "single_value", "channel_axis"]
    assert mine["activation"].kind == inspect.Parameter.KEYWORD_ONLY


@pairs
@pytest.mark.parametrize(
    "options",
    [{}, {"affine": False}, {"bias": False}, {"track_running_stats": False}, {"momentum": None, "eps": 1e-3}],
    ids=str,
)
def test_attributes_and_state(ours, theirs, shape, options):
    mine, torchs = ours(3, **options), theirs(3, **options)
    assert repr(mine) == repr(torchs)
    assert list(mine.state_dict()) == list(torchs.state_dict())
    assert [n for n, _ in mine.named_parameters()] == [n for n, _ in torchs.named_parameters()]
    assert [n for n, _ in mine.named_buffers()][:3] == [n for n, _ in torchs.named_buffers()]
    for name in ("num_features", "eps", "momentum", "affine", "track_running_stats", "training", "_version"):
        assert getattr(mine, name) == getattr(torchs, name), name
    for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        a, b = getattr(mine, name), getattr(torchs, name)
        assert (a is None) == (b is None), name
        if a is not None:
            assert_close(a, b)
    assert isinstance(mine, theirs)
    assert isinstance(mine, _BatchNorm)  # optimizers, update_bn and others look for it


@pairs
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [{}, {"track_running_stats": False}, {"affine": False}], ids=str)
@pytest.mark.parametrize(
    "case", ["few axes", "many axes", "channels", "one value", "empty", "no positions", "negative eps", "zero eps"]
)
def test_errors_are_torchs(ours, theirs, shape, training, options, case):
    mine, torchs = ours(3, **options).train(training), theirs(3, **options).train(training)
    x = {
        "few axes": torch.randn(3),
        "many axes": torch.randn(*shape, 2, 2, 2),
        "channels": torch.randn(shape[0], 4, *shape[2:]),
        "one value": torch.randn(1, 3, *[1] * len(shape[2:])),
        "empty": torch.randn(0, *shape[1:]),
        "no positions": torch.randn(*shape[:-1], 0),
    }.get(case, torch.randn(shape))
    for layer in (mine, torchs):
        layer.eps = {"negative eps": -1.0, "zero eps": 0.0}.get(case, layer.eps)
    found, expected = outcome(lambda: mine(x)), outcome(lambda: torchs(x))
    if isinstance(expected, tuple):
        assert found[0] is expected[0]
        assert found[1].split("\nThe layer is ")[0] == expected[1]  # ours may say more, behind
    else:
        assert_close(found, expected)
        assert_close(mine.state_dict(), torchs.state_dict())


def test_nothing_changes_before_validation():
    torchs, mine = nn.BatchNorm1d(3), sn.nn.BatchNorm1d(3)
    for layer in (torchs, mine):
        with pytest.raises(ValueError, match="more than 1 value"):
            layer(torch.randn(1, 3))
    assert int(torchs.num_batches_tracked) == 1  # torch counts first and looks afterwards
    assert int(mine.num_batches_tracked) == 0


def test_a_single_value_names_the_layer():
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.norms = nn.ModuleList([nn.Identity(), sn.nn.BatchNorm2d(3)])

        def forward(self, x):
            return self.norms[1](self.pool(x))

    model = nn.Sequential(nn.Identity(), Head())
    with pytest.raises(ValueError, match=re.escape("'1.norms.1' (BatchNorm2d(3, ")) as caught:
        model(torch.randn(1, 3, 8, 8))
    assert "drop_last=True" in str(caught.value)
    with pytest.raises(ValueError, match=re.escape("The layer is BatchNorm2d(3, ")):
        sn.nn.BatchNorm2d(3)(torch.randn(1, 3, 1, 1))


@pairs
def test_old_checkpoints(ours, theirs, shape):
    state = dict(theirs(3).state_dict())
    del state["num_batches_tracked"]
    ours(3).load_state_dict(state)  # a plain dict carries no version, as before version 2
    versioned = theirs(3).state_dict()
    del versioned["num_batches_tracked"]
    with pytest.raises(RuntimeError, match="Missing key"):
        ours(3).load_state_dict(versioned)


@pairs
def test_tracking_switched_off_and_on(ours, theirs, shape):
    mine, torchs = ours(3), theirs(3)
    for track, training in [(True, True), (False, True), (False, False), (True, False), (True, True)]:
        x = torch.randn(shape)
        for layer in (mine, torchs):
            layer.track_running_stats = track
            layer.train(training)
        assert_close(mine(x), torchs(x))
        assert_close(mine.state_dict(), torchs.state_dict())


def test_the_count_may_be_taken_away():
    mine, torchs = sn.nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    x = torch.randn(4, 3)
    for layer in (mine, torchs):
        layer.num_batches_tracked = None
        layer(x)
        layer(x[:0])
    assert_close(mine.state_dict(), torchs.state_dict())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("training", [True, False])
def test_sixteen_bit_input_of_a_wide_layer(dtype, training):
    mine, torchs = sn.nn.BatchNorm2d(3).train(training), nn.BatchNorm2d(3).train(training)
    x = torch.randn(4, 3, 5, 5).to(dtype)
    y = mine(x)
    assert y.dtype == dtype
    assert_close(y, torchs(x))
    assert_close(mine.state_dict(), torchs.state_dict())


def test_autocast():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), sn.nn.BatchNorm2d(4, activation="relu"), nn.Flatten(), nn.Linear(36, 2))
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(torch.randn(4, 3, 5, 5)).float().square().sum()
    loss.backward()
    assert model[1].running_mean.dtype == model[1].weight.grad.dtype == torch.float32


def test_layouts():
    mine, torchs = sn.nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    x = torch.randn(4, 3, 6, 5).to(memory_format=torch.channels_last)
    y = mine(x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert_close(y, torchs(x))
    strided = torch.randn(4, 3, 12, 5)[:, :, ::2]
    assert_close(mine(strided), torchs(strided))
    assert_close(mine.state_dict(), torchs.state_dict())


def test_reset():
    layer = sn.nn.BatchNorm1d(2)
    layer(torch.tensor([[1.0, torch.nan], [2.0, 1.0]]))
    assert layer.skipped_updates.tolist() == [0, 1]
    layer.reset_running_stats()
    assert_close(layer.state_dict(), sn.nn.BatchNorm1d(2).state_dict())
    assert layer.skipped_updates.tolist() == [0, 0]


def test_no_more_is_saved_for_backward_than_torch_saves():
    def saved(layer):
        sizes = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: sizes.setdefault(t.data_ptr(), t.numel() * t.element_size()) and t, lambda t: t
        ):
            layer(torch.randn(8, 16, 8, 8, requires_grad=True))
        return sum(sizes.values())

    assert 8 * 16 * 8 * 8 * 4 < saved(sn.nn.BatchNorm2d(16)) <= saved(nn.BatchNorm2d(16))


# --- statistics that stay wide (B9) -----------------------------------------------------------------------------------

CASTS = {
    "half": lambda m: m.half(),
    "bfloat16": lambda m: m.bfloat16(),
    "to": lambda m: m.to(torch.float16),
    "to device and dtype": lambda m: m.to("cpu", torch.bfloat16),
    "type": lambda m: m.type(torch.float16),
    "double half": lambda m: m.double().half(),
    "half half": lambda m: m.half().half(),
}


@pytest.mark.parametrize("cast", CASTS.values(), ids=CASTS)
@pytest.mark.parametrize("make", [lambda: sn.nn.BatchNorm2d(3), lambda: nn.Sequential(sn.nn.BatchNorm2d(3))])
def test_casts_reach_the_parameters_only(cast, make):
    model = make()
    layer = next(m for m in model.modules() if isinstance(m, _BatchNorm))
    model(torch.randn(8, 3, 4, 4) * 7 + 3)
    before = copy.deepcopy(layer.state_dict())
    cast(model)
    assert layer.weight.dtype in (torch.float16, torch.bfloat16)
    assert layer.running_mean.dtype == layer.running_var.dtype == torch.float32
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(layer.state_dict()[name], before[name])
    x = torch.randn(8, 3, 4, 4).to(layer.weight.dtype)
    for mode in (True, False):
        assert model.train(mode)(x).dtype == x.dtype
    model.train()(x.requires_grad_()).sum().backward()
    assert layer.weight.grad.dtype == layer.weight.dtype


def test_double_and_back_is_whole():
    layer = sn.nn.BatchNorm1d(3)
    layer(torch.randn(16, 3))
    before = copy.deepcopy(layer.state_dict())
    layer.double()
    assert layer.running_mean.dtype == torch.float64
    layer.float()
    assert_close(layer.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_constructor_and_checkpoint_of_sixteen_bits(dtype):
    layer = sn.nn.BatchNorm1d(3, dtype=dtype)
    assert layer.weight.dtype == dtype
    assert layer.running_mean.dtype == layer.running_var.dtype == torch.float32
    theirs = nn.BatchNorm1d(3, dtype=dtype)
    for assign in (True, False):
        layer = sn.nn.BatchNorm1d(3)
        layer.load_state_dict(theirs.state_dict(), assign=assign)
        assert layer.running_mean.dtype == torch.float32
    torch.set_default_dtype(torch.float16)
    try:
        assert sn.nn.BatchNorm1d(3).running_var.dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_statistics_of_a_bfloat16_model_do_not_stick():
    mine, torchs = (layer(1, momentum=0.001).bfloat16() for layer in (sn.nn.BatchNorm1d, nn.BatchNorm1d))
    x = (torch.randn(64, 1) * 3 + 10).bfloat16()
    for _ in range(6000):
        mine(x)
        torchs(x)
    n, mean, var = oracles.moments(x)
    assert_close(mine.running_mean.double(), mean, rtol=5e-3, atol=0)
    assert_close(mine.running_var.double(), var * n / (n - 1), rtol=5e-3, atol=0)
    assert abs(float(torchs.running_mean) - float(mean)) > 1  # what this test is about


# --- batches that are not finite (B10) --------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_bad_batch_never_enters(bad):
    mine, torchs = sn.nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    batches = [torch.randn(4, 3, 2, 2) for _ in range(5)]
    poisoned = batches[2].clone()
    poisoned[1, 1, 0, 0] = bad
    for i, x in enumerate(batches):
        for layer in (mine, torchs):
            layer(poisoned if i == 2 else x)
    healthy = [0, 2]
    assert_close(mine.running_mean[healthy], torchs.running_mean[healthy])
    assert_close(mine.running_var[healthy], torchs.running_var[healthy])
    assert not torch.isfinite(torchs.running_var[1])  # torch keeps it for ever
    clean = sn.nn.BatchNorm2d(3)
    for i in (0, 1, 3, 4):
        clean(batches[i])
    assert_close(mine.running_mean[1], clean.running_mean[1])
    assert_close(mine.running_var[1], clean.running_var[1])
    assert mine.skipped_updates.tolist() == [0, 1, 0]
    assert int(mine.num_batches_tracked) == 5
    assert "skipped_updates" not in mine.state_dict()


def test_equal_weights_leave_a_bad_batch_out_for_every_channel():
    layer = sn.nn.BatchNorm1d(2, momentum=None)
    batches = [torch.randn(6, 2).double() for _ in range(4)]
    layer.double()
    for i, x in enumerate(batches):
        x = x.clone()
        if i == 1:
            x[0, 0] = torch.inf
        layer(x)
    layer(batches[0][:0])
    good = [batch_moments(batches[i]) for i in (0, 2, 3)]
    assert_close((layer.running_mean, layer.running_var), population_statistics(good, PaperEstimator()))
    assert int(layer.num_batches_tracked) == 3
    assert layer.skipped_updates.tolist() == [1, 0]


def test_a_bad_batch_under_compile_and_vmap():
    x = torch.randn(4, 2)
    x[0, 0] = torch.nan
    layer = sn.nn.BatchNorm1d(2)
    torch.compile(layer, fullgraph=True, backend="aot_eager")(x)
    assert layer.skipped_updates.tolist() == [1, 0]
    models = [sn.nn.BatchNorm1d(2) for _ in range(3)]
    parameters, buffers = torch.func.stack_module_state(models)

    def call(p, b, x):
        return torch.func.functional_call(models[0], (p, b), (x,))

    torch.func.vmap(call, in_dims=(0, 0, None))(parameters, buffers, x)
    assert buffers["skipped_updates"].tolist() == [[1, 0]] * 3
    assert buffers["num_batches_tracked"].tolist() == [1] * 3
    assert torch.isfinite(buffers["running_var"]).all()


def test_a_masked_batch_of_one_value_has_no_variance():
    layer = sn.nn.BatchNorm1d(2)
    y = layer(torch.randn(4, 2), mask=torch.tensor([[1], [0], [0], [0]]).bool())
    assert (y == 0).all()  # β, since one value is its own mean
    assert layer.running_var.tolist() == [1, 1]
    assert layer.skipped_updates.tolist() == [1, 1]


# --- masks and activations --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_padding_does_not_matter(training):
    short, lengths = torch.randn(3, 4, 5), torch.tensor([5, 2, 4])
    mask = (torch.arange(9) < lengths[:, None])[:, None]
    padded = torch.nn.functional.pad(short, (0, 4), value=1e6)
    mine, reference = (sn.nn.BatchNorm1d(4, activation="gelu").double().train(training) for _ in range(2))
    x = padded.double().requires_grad_()
    y = mine(x, mask=mask)
    flat = (
        short.double().transpose(0, 1)[:, mask[:, 0, :5]].T.clone().requires_grad_()
    )  # the values that count, as (N, C)
    expected = reference(flat)
    assert_close(y.transpose(0, 1)[:, mask[:, 0]].T, expected)
    assert (y[~mask.expand_as(y)] == 0).all()
    assert_close(mine.state_dict(), reference.state_dict())
    y.square().sum().backward()
    expected.square().sum().backward()
    assert_close(x.grad.transpose(0, 1)[:, mask[:, 0]].T, flat.grad)
    assert (x.grad[~mask.expand_as(y)] == 0).all()
    assert_close(mine.weight.grad, reference.weight.grad)


@pytest.mark.parametrize("training", [True, False])
def test_what_is_hidden_may_be_nan(training):
    layer = sn.nn.BatchNorm1d(2, activation="silu").train(training)
    mask = torch.tensor([1, 1, 1, 0]).bool()[:, None]
    x, residual = (torch.where(mask, torch.randn(4, 2), torch.nan).requires_grad_() for _ in range(2))
    layer(x, residual, mask).square().sum().backward()
    for v in (x, residual, layer.weight, layer.bias):
        assert torch.isfinite(v.grad).all()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    layer, plain = sn.nn.BatchNorm1d(3, activation=name), nn.BatchNorm1d(3)
    x = torch.randn(5, 3)
    assert_close(layer(x), getattr(nn.functional, name)(plain(x)))
    assert repr(layer).endswith(f"track_running_stats=True, activation={name})")


# --- recomputation (B11, B12) -----------------------------------------------------------------------------------------


def checkpointed(layer, x, reentrant, paused=False):
    if paused:
        layer._pauses += 1
    y = torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=reentrant)
    if paused:  # the recomputation comes after the pause has ended
        layer._pauses -= 1
    y.square().sum().backward()


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("fallback", [False, True])
def test_a_checkpointed_batch_counts_once(reentrant, momentum, fallback, monkeypatch):
    from steadynorm import _torch
    from steadynorm.nn import moving

    if fallback:
        monkeypatch.setattr(moving, "autograd_runs", _torch._checkpoint_is_on_the_stack)
    mine, plain = (sn.nn.BatchNorm2d(3, momentum=momentum, activation="relu") for _ in range(2))
    torchs = nn.BatchNorm2d(3, momentum=momentum)
    for _ in range(2):
        x = torch.randn(4, 3, 2, 2)
        inputs = [x.clone().requires_grad_() for _ in range(3)]
        checkpointed(mine, inputs[0], reentrant)
        plain(inputs[1]).square().sum().backward()
        checkpointed(torchs, inputs[2], reentrant)
        assert_close(inputs[0].grad, inputs[1].grad)
        assert_close(mine.state_dict(), plain.state_dict(), rtol=0, atol=0)
    assert int(torchs.num_batches_tracked) == 4  # torch counts both


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_recomputation_after_a_pause_is_paused_too(reentrant):
    layer = sn.nn.BatchNorm2d(3)
    before = copy.deepcopy(layer.state_dict())
    checkpointed(layer, torch.randn(4, 3, 2, 2, requires_grad=True), reentrant, paused=True)
    assert_close(layer.state_dict(), before, rtol=0, atol=0)


def test_compiling_around_a_checkpoint():
    mine, plain = sn.nn.BatchNorm2d(3), sn.nn.BatchNorm2d(3)
    x = torch.randn(4, 3, 2, 2)

    def block(v):
        return torch.utils.checkpoint.checkpoint(mine, v, use_reentrant=False) * 2

    inputs = [x.clone().requires_grad_() for _ in range(2)]
    torch.compile(block, fullgraph=True, backend="aot_eager")(inputs[0]).square().sum().backward()
    (plain(inputs[1]) * 2).square().sum().backward()
    assert_close(inputs[0].grad, inputs[1].grad)
    assert_close(mine.state_dict(), plain.state_dict())


def test_two_forwards_before_one_backward():
    layer = sn.nn.BatchNorm1d(3)
    a, b = torch.randn(2, 5, 3, requires_grad=True)
    (layer(a).sum() + layer(b).square().sum()).backward()  # no buffer that the first one saved was changed in place
    assert int(layer.num_batches_tracked) == 2


def test_a_copy_made_in_a_pause_is_not_paused():
    layer = sn.nn.BatchNorm1d(3)
    layer._pauses += 1
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        twin(torch.randn(4, 3))
        assert int(twin.num_batches_tracked) == 1


# --- torch's other machines -------------------------------------------------------------------------------------------


def test_functional_call_changes_the_buffers_it_is_given():
    layer = sn.nn.BatchNorm1d(3)
    state = {name: v.clone() for name, v in layer.state_dict().items()}
    torch.func.functional_call(layer, state, torch.randn(4, 3))
    assert int(state["num_batches_tracked"]) == 1
    assert int(layer.num_batches_tracked) == 0


def test_vmap_in_evaluation():
    layer = sn.nn.BatchNorm1d(3, activation="relu").eval()
    x = torch.randn(2, 4, 3)
    assert_close(torch.func.vmap(layer)(x)[1], layer(x[1]))
    slopes = torch.func.vmap(torch.func.grad(lambda v: layer(v[None]).square().sum()))(x[0])
    assert slopes.shape == (4, 3)


def test_vmap_in_training_says_what_torch_says():
    x = torch.randn(2, 4, 3)
    errors = [
        outcome(lambda layer=layer: torch.func.vmap(layer)(x)) for layer in (sn.nn.BatchNorm1d(3), nn.BatchNorm1d(3))
    ]
    (kind, said), (torchs_kind, torch_said) = errors
    assert issubclass(kind, torchs_kind)
    assert said.startswith(torch_said)
    untracked = sn.nn.BatchNorm1d(3, track_running_stats=False)
    assert_close(torch.func.vmap(untracked)(x)[1], untracked(x[1]))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 3, 3, padding=1), sn.nn.BatchNorm2d(3, activation="relu")

    def forward(self, x):
        return self.bn(self.conv(x), residual=x)


def test_fx_takes_the_layer_as_a_leaf():
    block = Block()
    traced = torch.fx.symbolic_trace(block)
    calls = [(n.op, n.target) for n in traced.graph.nodes if n.op == "call_module"]
    assert calls == [("call_module", "conv"), ("call_module", "bn")]
    assert traced.bn is block.bn
    x = torch.randn(2, 3, 4, 4)
    block.eval()
    assert_close(traced(x), block(x))


@pytest.mark.parametrize("training", [True, False])
def test_export(training):
    block = Block().train(training)
    x = torch.randn(2, 3, 4, 4)
    reference = copy.deepcopy(block)
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(block, (x,), dynamic_shapes={"x": {0: batch}})
    wider = torch.randn(5, 3, 4, 4)
    assert_close(program.module()(wider), reference(wider))


def test_inductor():
    block = Block()
    reference = copy.deepcopy(block)
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    y = torch.compile(block, fullgraph=True)(x)
    assert_close(y, reference(x), rtol=1e-4, atol=1e-5)
    y.sum().backward()
    assert_close(block.state_dict(), reference.state_dict(), rtol=1e-4, atol=1e-5)


def test_from_the_meta_device():
    with torch.device("meta"):
        layer = sn.nn.BatchNorm1d(3)
    trained = sn.nn.BatchNorm1d(3)
    trained(torch.randn(4, 3))
    layer.load_state_dict(trained.state_dict(), assign=True)
    x = torch.randn(4, 3)
    assert_close(layer(x), trained(x))
    assert_close(layer.state_dict(), trained.state_dict())
    assert layer.skipped_updates.tolist() == [0, 0, 0]
    empty = nn.Sequential(sn.nn.BatchNorm1d(3, device="meta")).to_empty(device="cpu")
    empty.load_state_dict(nn.Sequential(trained).state_dict())
    assert empty[0].skipped_updates.tolist() == [0, 0, 0]


def test_update_bn_of_torch_finds_the_layer():
    model = nn.Sequential(nn.Linear(3, 3), sn.nn.BatchNorm1d(3))
    twin = nn.Sequential(copy.deepcopy(model[0]), nn.BatchNorm1d(3))
    batches = [torch.randn(4, 3) for _ in range(3)]
    for m in (model, twin):
        torch.optim.swa_utils.update_bn(batches, m)
    assert_close(model.state_dict(), twin.state_dict())


def test_the_docstring_says_what_torchs_converters_do():
    for name in ("convert_sync_batchnorm", "fuse_conv_bn_eval", "freeze_batch_norm_2d"):
        assert name in sn.nn.BatchNorm2d.__mro__[1].__doc__


# --- lazy layers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lazy", "theirs", "becomes", "shape"), LAZY)
def test_lazy(lazy, theirs, becomes, shape):
    layer, torchs = lazy(eps=1e-3, activation="relu"), theirs(eps=1e-3)
    x = torch.randn(shape)
    assert list(layer.state_dict()) == list(torchs.state_dict())
    assert_close(layer(x), torchs(x).relu())
    assert type(layer) is becomes
    assert layer.num_features == 3
    assert_close(layer.state_dict(), torchs.state_dict())
    assert layer.skipped_updates.tolist() == [0, 0, 0]
    layer(x, residual=x)


def test_lazy_of_sixteen_bits_keeps_wide_statistics():
    for layer in (sn.nn.LazyBatchNorm1d(dtype=torch.float16), sn.nn.LazyBatchNorm1d().half()):
        y = layer(torch.randn(4, 3).half())
        assert y.dtype == layer.weight.dtype == torch.float16
        assert layer.running_mean.dtype == layer.running_var.dtype == torch.float32


def test_lazy_refuses_before_it_takes_a_size():
    layer = sn.nn.LazyBatchNorm2d()
    with pytest.raises(ValueError, match="expected 4D input"):
        layer(torch.randn(4, 3))
    assert layer.has_uninitialized_params()
    layer(torch.randn(4, 3, 2, 2), mask=torch.ones(4, 1, 2, 2).bool())
    assert type(layer) is sn.nn.BatchNorm2d


@pytest.mark.parametrize("options", [{"affine": False}, {"bias": False}, {"track_running_stats": False}], ids=str)
def test_lazy_options(options):
    layer, torchs = sn.nn.LazyBatchNorm1d(**options), nn.LazyBatchNorm1d(**options)
    x = torch.randn(4, 3)
    assert_close(layer(x), torchs(x))
    assert_close(layer.state_dict(), torchs.state_dict())
