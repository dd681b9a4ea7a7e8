"""What every layer promises, over all rows of the catalogue. A method without an oracle fails collection."""

import copy
import io
import pickle
from importlib import import_module

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import oracles
from steadynorm.errors import SteadyNormError
from steadynorm.functional import draw_noise
from steadynorm.nn import condition, domain
from steadynorm.nn.catalogue import CATALOGUE

pytestmark = pytest.mark.usefixtures("either_way")

# By method: the formula in loops, (layer, x) -> y in training, and torch's layers where torch has it.
ORACLES = {
    "batch": lambda layer, x: oracles.batch_norm(x, layer.weight, layer.bias, layer.eps),
    "frozen": lambda layer, x: oracles.normalize(
        x, layer.running_mean, layer.running_var, layer.weight, layer.bias, layer.eps
    ),
    "sync": lambda layer, x: oracles.batch_norm(x, layer.weight, layer.bias, layer.eps),
    "ghost": lambda layer, x: oracles.ghost_batch_norm(x, layer.weight, layer.bias, layer.eps, layer.ghost_batch_size),
    "renorm": lambda layer, x: oracles.batch_renorm(
        x, layer.weight, layer.bias, layer.eps, layer.running_mean, layer.running_var, 1.0, 0.0
    ),
    "domain": lambda layer, x: oracles.batch_norm(x, layer.active.weight, layer.active.bias, layer.active.eps),
    "lp": lambda layer, x: oracles.lp_batch_norm(x, layer.weight, layer.bias, layer.eps, layer.p, layer.centred),
    "noisy": lambda layer, x: oracles.noisy_batch_norm(x, layer.weight, layer.bias, layer.eps, *draw_noise(x)),
    "whitening": lambda layer, x: oracles.whitening_norm(x, layer.weight, layer.bias, layer.eps, layer.groups),
    "iternorm": lambda layer, x: oracles.iter_norm(
        x, layer.weight, layer.bias, layer.eps, layer.groups, layer.iterations
    ),
    "weighted": lambda layer, x: oracles.batch_norm(x, layer.weight, layer.bias, layer.eps),
}
TORCH = {"batch": {1: torch.nn.BatchNorm1d, 2: torch.nn.BatchNorm2d, 3: torch.nn.BatchNorm3d}}

# Of a method that is not listed, the one in the test file of its function.
for name in [method.name for method in CATALOGUE if method.name not in ORACLES]:
    ORACLES[name] = import_module(f"functional.test_{name}").oracle

LAYERS = [pytest.param(m, dims, id=f"{m.name}-{dims}d") for m in CATALOGUE for dims in m.layers]
layers = pytest.mark.parametrize(("method", "dims"), LAYERS)
# For what takes long: the number of dimensions is handled by the code that all methods share.
few_layers = pytest.mark.parametrize(
    ("method", "dims"), [p for p in LAYERS if p.values[0].name == "batch" or p.values[1] == 2]
)
layers_of_torch = pytest.mark.parametrize(("method", "dims"), [p for p in LAYERS if p.values[0].name in TORCH])


@pytest.fixture(autouse=True)
def exemption(request):
    method = request.node.callspec.params["method"]
    options = request.node.callspec.params.get("options", {})
    for exemption in (request.node.originalname, *(f"{word}={value}" for word, value in options.items())):
        if exemption in method.exempt:
            pytest.skip(f"{method.name} is exempt: {method.exempt[exemption]}")


@pytest.fixture(autouse=True)
def one_domain():
    with domain("one"), condition(0):
        yield


def make(method, dims, features=3, **options):
    return method.layers[dims](features, **method.options, **options)


def randn(method, *shape, dtype=torch.float32, **others):
    if method.complex:
        dtype = {torch.float32: torch.complex64, torch.float64: torch.complex128}[dtype]
    return torch.randn(*shape, dtype=dtype, **others)


def state_of(layer):
    """The layer that holds the statistics: the active domain's, if there are several."""
    return getattr(layer, "active", layer)


def run(layer, *args, **kwargs):
    """Call a layer with the random numbers at the same place."""
    torch.manual_seed(0)
    return layer(*args, **kwargs)


def is_refused(method, shape):
    """Whether a feature would be normalized by a single value."""
    examples = method.options.get("ghost_batch_size", shape[0])
    return method.by_batch and (shape[0] % examples or examples) * torch.Size(shape[2:]).numel() == 1


def shape_of(dims, batch=4, features=3):
    return (batch, features, *range(2, 2 + dims))


def random_layer(method, dims, features=3, **options):
    layer = make(method, dims, features, **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
        for name, buffer in layer.named_buffers():
            if "running_mean" in name:
                buffer.normal_()
            elif "running_var" in name:
                buffer.uniform_(0.5, 2)
            elif "running_cov" in name:
                buffer.diagonal(dim1=-2, dim2=-1).uniform_(0.5, 2)
    return layer


@layers
def test_oracle(method, dims):
    layer = random_layer(method, dims, eps=1e-3, dtype=torch.float64)
    x = randn(method, shape_of(dims), dtype=torch.float64) * 3 + 1
    torch.manual_seed(0)
    expected = ORACLES[method.name](layer, x)
    assert_close(run(layer, x), expected, rtol=1e-10, atol=1e-10)


@few_layers
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "options", [{}, {"affine": False}, {"activation": "silu"}, {"track_running_stats": False}], ids=str
)
def test_gradcheck(method, dims, training, options):
    layer = random_layer(method, dims, features=2, dtype=torch.float64, **options).train(training)
    shape = (3, 2, 2, *[1] * (dims - 1))  # small: the cost grows with the square
    leaves = [randn(method, shape, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    leaves += [p.detach().clone().requires_grad_() for p in layer.parameters()]
    names = [name for name, _ in layer.named_parameters()]
    mask = torch.rand(shape[0], 1, *shape[2:]) < 0.7
    mask[0] = True

    for m in (None, mask):

        def call(x, residual, *parameters, m=m):
            state = dict(zip(names, parameters, strict=True))
            torch.manual_seed(0)
            return torch.func.functional_call(layer, state, (x,), {"residual": residual, "mask": m})

        assert torch.autograd.gradcheck(call, leaves, check_forward_ad=True)
        assert torch.autograd.gradgradcheck(call, leaves, fast_mode=method.name != "batch")


@layers_of_torch
@pytest.mark.parametrize(
    "options", [{}, {"affine": False}, {"bias": False}, {"momentum": None}, {"momentum": 0.7}], ids=str
)
def test_torch_equivalence(method, dims, options):
    ours = random_layer(method, dims, dtype=torch.float64, **options)
    theirs = TORCH[method.name][dims](3, dtype=torch.float64, **options)
    theirs.load_state_dict(ours.state_dict())
    for step in range(6):
        for layer in (ours, theirs):
            layer.train(step % 3 != 2)
        x = randn(method, shape_of(dims), dtype=torch.float64) * (step + 1) + step
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        outputs = [layer(v) for layer, v in zip((ours, theirs), inputs, strict=True)]
        dy = torch.randn_like(x)
        for y in outputs:
            y.backward(dy)
        assert_close(*outputs, rtol=1e-12, atol=1e-12)
        assert_close(inputs[0].grad, inputs[1].grad, rtol=1e-12, atol=1e-12)
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert_close(a.grad, b.grad, rtol=1e-12, atol=1e-12)
        assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-12, atol=1e-12)


@layers
@given(st.data())
def test_properties(method, dims, data):
    """Any shape, dtype, magnitude and layout: dtype and shape kept, statistics wide and finite, bad features apart."""
    shape = tuple(data.draw(st.lists(st.integers(1, 5), min_size=2 + dims, max_size=2 + dims)))
    dtype = data.draw(st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]))
    scale = data.draw(st.sampled_from([1.0, 1e-4, 1e4] if dtype == torch.float16 else [1.0, 1e-30, 1e15]))
    layer = make(method, dims, shape[1], dtype=dtype)
    state = state_of(layer)
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    x = (torch.randn(shape, generator=generator, dtype=torch.float64) * scale).to(dtype)
    if data.draw(st.booleans()):
        x[:, 0] = 1.0  # a constant feature
    if data.draw(st.booleans()):
        x = x.transpose(0, -1).contiguous().transpose(0, -1)
    if is_refused(method, shape):
        with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
            layer(x)
        assert int(state.num_batches_tracked) == 0
        return
    bad = data.draw(st.sampled_from([None, torch.nan, torch.inf]))
    if bad is not None:
        x[0, -1] = bad
    y = layer(x)
    assert y.shape == x.shape
    assert y.dtype == dtype
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert state.running_mean.dtype == state.running_var.dtype == wide
    assert torch.isfinite(state.running_mean).all()
    assert torch.isfinite(state.running_var).all()
    healthy = torch.arange(shape[1]) < shape[1] - (bad is not None)
    assert torch.isfinite(y[:, healthy]).all()
    assert state.skipped_updates.tolist() == (~healthy).int().tolist()
    assert torch.isfinite(layer.eval()(x[:, :])[:, healthy]).all()


@layers
def test_state_dict(method, dims):
    layer = random_layer(method, dims)
    layer(randn(method, shape_of(dims)))
    state = layer.state_dict()
    assert tuple(state) == method.state
    fresh = make(method, dims)
    assert str(fresh.load_state_dict(state)) == "<All keys matched successfully>"
    x = randn(method, shape_of(dims))
    assert torch.equal(fresh.eval()(x), layer.eval()(x))

    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    again = make(method, dims)
    again.load_state_dict(torch.load(file, weights_only=True), assign=True)
    assert torch.equal(again.eval()(x), layer(x))
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(copied(x), layer(x))
        assert state_of(copied).running_mean.data_ptr() != state_of(layer).running_mean.data_ptr()


@layers
def test_train_eval(method, dims):
    layer = random_layer(method, dims)
    x = randn(method, shape_of(dims)) + 5
    before = copy.deepcopy(layer.state_dict())
    mean = state_of(layer).running_mean.clone()
    layer.eval()
    first, second = layer(x), layer(x)
    assert torch.equal(first, second)
    assert_close(layer.state_dict(), before, rtol=0, atol=0)
    alone = layer(x[:1])  # in evaluation an example does not see its companions
    assert_close(alone, first[:1])
    layer.train()
    assert not torch.allclose(layer(x), first)
    assert (state_of(layer).running_mean != mean).all()


@layers
@pytest.mark.parametrize("training", [True, False])
def test_residual_activation_and_mask(method, dims, training):
    layer = random_layer(method, dims, activation="sigmoid").train(training)
    plain = make(method, dims).train(training)
    plain.load_state_dict(layer.state_dict())
    masked = copy.deepcopy(layer)
    x, residual = randn(method, 2, *shape_of(dims))
    everywhere = torch.ones(1, 1, *[1] * dims).bool()
    expected = torch.sigmoid(run(plain, x) + residual)
    assert_close(run(layer, x, residual), expected)
    assert_close(run(masked, x, residual, everywhere), expected)
    assert_close(masked.state_dict(), layer.state_dict())
    assert_close(layer.state_dict(), plain.state_dict(), rtol=0, atol=0)
    before = copy.deepcopy(layer.state_dict())
    assert (layer(torch.full_like(x, torch.nan), residual, ~everywhere) == 0).all()
    assert_close(layer.state_dict(), before, rtol=0, atol=0)  # wholly hidden: no batch at all


@layers
def test_errors(method, dims):
    layer = random_layer(method, dims)
    before = copy.deepcopy(layer.state_dict())
    x = randn(method, shape_of(dims))
    mask = torch.ones(4, 1, *[1] * dims).bool()
    for call, builtin in (
        (lambda: layer(randn(method, 4)), ValueError),
        (lambda: layer(x[None, None, None, None]), ValueError),
        (lambda: layer(randn(method, shape_of(dims, features=4))), RuntimeError),
        *([(lambda: layer(randn(method, 1, 3, *[1] * dims)), ValueError)] if method.by_batch else []),
        (lambda: layer(x, x[:2]), ValueError),
        (lambda: layer(x, mask=mask.float()), TypeError),
        (lambda: layer(x, mask=mask[:2]), ValueError),
        (lambda: layer(x, mask=mask.expand(-1, 3, *[-1] * dims)), ValueError),
        (lambda: make(method, dims, activation="swish"), ValueError),
    ):
        with pytest.raises(builtin) as caught:
            call()
        assert isinstance(caught.value, SteadyNormError)
        assert_close(layer.state_dict(), before, rtol=0, atol=0)  # nothing was changed


@few_layers
@pytest.mark.parametrize("training", [True, False])
def test_compile(method, dims, training):
    layer = random_layer(method, dims, activation="relu").train(training)
    reference = copy.deepcopy(layer)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x, residual = randn(method, 2, *shape_of(dims))
    mask = torch.rand(4, 1, *shape_of(dims)[2:]) < 0.7
    for args in ((x,), (x, residual), (x, residual, mask)):
        assert_close(run(compiled, *args), run(reference, *args))
        assert_close(layer.state_dict(), reference.state_dict())
        torch._dynamo.reset()
