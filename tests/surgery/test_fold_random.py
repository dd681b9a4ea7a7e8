"""Random small networks: what folds is exact on any input, and whatever an oracle finds foldable is folded."""

import copy
from itertools import combinations
from random import Random

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import steadynorm as sn
from folding import TOLERANCE, error_of, outcome, ready, why
from steadynorm.nn.batchnorm import BatchNormBase
from surgery_models import NOTHING_DONE, assert_unchanged, state_of

pytestmark = NOTHING_DONE

C = 3  # features, and the size of every other axis that a linear layer may take for them
CONVS = {1: (nn.Conv1d, nn.ConvTranspose1d), 2: (nn.Conv2d, nn.ConvTranspose2d), 3: (nn.Conv3d, nn.ConvTranspose3d)}
NORMS = {
    1: (nn.BatchNorm1d, sn.nn.BatchNorm1d),
    2: (nn.BatchNorm2d, sn.nn.BatchNorm2d, nn.SyncBatchNorm),
    3: (nn.BatchNorm3d, sn.nn.BatchNorm3d),
}


FUNCTIONS = {  # by the names that our layers have for them
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "silu": F.silu,
    "gelu": F.gelu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "hardswish": F.hardswish,
    "relu6": F.relu6,
}
BETWEEN = (*FUNCTIONS.values(), F.softplus, F.elu)


class Network(nn.Module):
    """Steps that each take one or two of the values so far; what no step takes is put out.

    ``steps``: (the number of a layer, or a function, and the numbers of the values that it takes).
    """

    def __init__(self, layers, steps):
        super().__init__()
        self.layers, self.steps = nn.ModuleList(layers), steps

    def forward(self, x):
        values = [x]
        for what, taken in self.steps:
            call = self.layers[what] if isinstance(what, int) else what
            values.append(call(*(values[i] for i in taken)))
        used = {i for _, taken in self.steps for i in taken}
        return torch.cat([v for i, v in enumerate(values) if i not in used])


def network(seed):
    """A network, and how to draw inputs for it."""
    random = Random(seed)
    torch.manual_seed(seed)
    dense = random.random() < 0.3
    shifted = random.random() < 0.7  # a scale alone could even go through y + y, a depthwise layer, another batch norm
    spatial = random.choice([0, 0, 1]) if dense else random.randint(1, 3)  # linear layers on (N, C, C) confuse axes

    def linear():
        bias = random.random() < 0.5
        if dense:
            return nn.Linear(C, C, bias=bias)
        kernel = random.choice([1, 3])
        options = {"padding": kernel // 2, "groups": random.choice([1, C]) if shifted else 1, "bias": bias}
        if random.random() < 0.3:
            return CONVS[spatial][1](C, C, kernel, **options)
        return CONVS[spatial][0](C, C, kernel, **options, padding_mode=random.choice(["zeros", "zeros", "circular"]))

    def norm():
        kind = random.choice(NORMS[max(spatial, 1)])
        options = {"activation": random.choice([None, *FUNCTIONS])} if issubclass(kind, BatchNormBase) else {}
        layer = kind(C, affine=not shifted or random.random() < 0.7, **options)
        return nn.Sequential(nn.Dropout(), layer) if random.random() < 0.2 else layer

    layers, steps = [], []
    for _ in range(random.randint(2, 7)):
        latest = len(steps)
        taken = latest if random.random() < 0.8 else random.randint(0, latest)
        kind = random.choices(["linear", "norm", "again", "between", "add"], [6, 6, 2 * shifted, 2, shifted])[0]
        if kind == "between":
            steps.append((random.choice(BETWEEN), (taken,)))
        elif kind == "add":
            steps.append((torch.add, (taken, random.randint(0, latest))))
        elif kind == "again" and layers:
            steps.append((random.randrange(len(layers)), (taken,)))
        else:
            layers.append(norm() if kind == "norm" else linear())
            steps.append((len(layers) - 1, (taken,)))
    model = ready(Network(layers, steps).double(), seed)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.weight is not None:
            module.weight.data *= torch.tensor([1.0, -1.0, 1.0])  # a positive scale alone could go through a ReLU
            if not shifted:
                module.running_mean.zero_()
                nn.init.zeros_(module.bias)
    return model, lambda n, size: torch.randn(n, C, *[C if dense else size] * spatial).double()


class Rest(nn.Module):
    """What is left of a batch norm."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


# --- the oracle -------------------------------------------------------------------------------------------------------


def parts(model):
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    return norms, [m for m in model.modules() if isinstance(m, nn.Linear | nn.modules.conv._ConvNd)]


def scaled(linear, norm, after):
    """Put a batch norm's map into a layer, one weight at a time."""
    scale = (norm.running_var + norm.eps) ** -0.5 * (1 if norm.weight is None else norm.weight)
    shift = (0 if norm.bias is None else norm.bias) - scale * norm.running_mean
    weight = linear.weight.clone()
    bias = torch.zeros(C).double() if linear.bias is None else linear.bias.clone()
    inputs_first = isinstance(linear, nn.modules.conv._ConvTransposeNd)
    groups = getattr(linear, "groups", 1)
    for a in range(weight.shape[0]):
        for b in range(weight.shape[1]):
            group = a // (weight.shape[0] // groups)
            o, i = (b + group * weight.shape[1], a) if inputs_first else (a, b + group * weight.shape[1])
            if after:
                weight[a, b] *= scale[o]
            else:
                bias[o] += weight[a, b].sum() * shift[i]
                weight[a, b] *= scale[i]
    if after:
        bias = bias * scale + shift
    linear.weight, linear.bias = nn.Parameter(weight), nn.Parameter(bias)


def without(model, norm_index, linear_indices, after):
    trial = copy.deepcopy(model)
    norms, linears = parts(trial)
    for index in linear_indices:
        scaled(linears[index], norms[norm_index], after)
    for module in list(trial.modules()):
        for name, child in module._modules.items():
            if child is norms[norm_index]:
                module._modules[name] = Rest(FUNCTIONS.get(getattr(child, "activation", None), torch.clone))
    return trial


@torch.no_grad()
def foldable(model, inputs):
    """Try every batch norm with every set of layers in both directions, until nothing more goes."""
    names = {module: name for name, module in model.named_modules()}
    left = [names[norm] for norm in parts(model)[0]]
    found = set()
    expected = [model(x) for x in inputs]
    progress = True
    while progress:
        progress = False
        norms, linears = parts(model)
        choices = [s for r in range(1, len(linears) + 1) for s in combinations(range(len(linears)), r)]
        for index in range(len(norms)):
            trials = (without(model, index, chosen, after) for chosen in choices for after in (True, False))
            same = (
                t
                for t in trials
                if all(torch.allclose(t(x), y, 1e-9, 1e-9) for x, y in zip(inputs, expected, strict=True))
            )
            if (trial := next(same, None)) is not None:
                model, progress = trial, True
                found.add(left.pop(index))
                break
    return found


@given(st.integers(0, 2**32))
@settings(max_examples=300)
def test_all_that_is_foldable_is_folded_and_equal(seed):
    model, draw_input = network(seed)
    example = draw_input(2, 4)
    before = state_of(model)
    folded, report = sn.fold(model, example)
    assert_unchanged(model, before)
    others = [draw_input(2, 4), 3 * draw_input(3, 5), -draw_input(1, 4)]
    for x in others:
        assert error_of(folded, model, x) <= TOLERANCE[torch.float64]
    found = {name for name, into in outcome(report).items() if into}
    used = {i for i, _ in model.steps if isinstance(i, int)}
    assert used == set(range(len(model.layers)))
    assert {name.split(" ")[0] for name in found} == foldable(model, others), str(report)
    assert all(why(report).values())


@given(st.integers(0, 2**32))
@settings(max_examples=50)
def test_float32_is_equal_too(seed):
    model, draw_input = network(seed)
    model = model.float()
    folded, _ = sn.fold(model, draw_input(2, 4).float())
    for x in (draw_input(2, 4).float(), draw_input(3, 5).float()):
        assert error_of(folded, model, x) <= TOLERANCE[torch.float32]
