"""Every kind of layer that folds, every way to be kept, and what a fold must leave alone."""

import copy

import pytest
import torch
from torch import nn

import steadynorm as sn
from folding import Net, check, layers, outcome, ready, why
from steadynorm.errors import FoldError
from surgery_models import NOTHING_DONE

pytestmark = NOTHING_DONE

NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
CONVS = {
    (1, False): nn.Conv1d,
    (2, False): nn.Conv2d,
    (3, False): nn.Conv3d,
    (1, True): nn.ConvTranspose1d,
    (2, True): nn.ConvTranspose2d,
    (3, True): nn.ConvTranspose3d,
}
dtypes = pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])


# --- after ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("spatial", "transposed"), CONVS)
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("bias", [True, False])
def test_after_every_convolution(spatial, transposed, groups, bias):
    conv = CONVS[spatial, transposed](4, 8, 3, padding=1, stride=2, groups=groups, bias=bias)
    model = ready(nn.Sequential(conv, NORMS[spatial](8), nn.ReLU()).double())
    size = [5] * spatial
    folded, _ = check(model, torch.randn(2, 4, *size).double(), {"1": "0"}, torch.randn(3, 4, *[7] * spatial).double())
    assert isinstance(folded[1], nn.Identity)


@dtypes
def test_after_a_linear_layer(dtype):
    model = ready(nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)).to(dtype))
    check(model, torch.randn(6, 5).to(dtype), {"1": "0"}, torch.randn(1, 5).to(dtype))


@pytest.mark.parametrize("options", [{"affine": False}, {"bias": False}, {"eps": 0.1}, {"momentum": None}], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_with_affine_or_bias_off(options, bias):
    model = ready(nn.Sequential(nn.Linear(5, 4, bias=bias), nn.BatchNorm1d(4, **options)))
    folded, _ = check(model, torch.randn(6, 5), {"1": "0"})
    assert folded[0].bias is not None


def test_a_bias_that_is_not_needed_is_not_made():
    model = ready(nn.Sequential(nn.Linear(5, 4, bias=False), nn.BatchNorm1d(4, affine=False)))
    model[1].running_mean.zero_()
    folded, _ = check(model, torch.randn(6, 5), {"1": "0"})
    assert folded[0].bias is None


class PlainSubclass(nn.BatchNorm2d):
    def extra(self):
        return 1


class OtherForward(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x) + 1


class FrozenBatchNorm2d(nn.Module):
    """As detectron2 and torchvision have it: four buffers."""

    def __init__(self, features, eps=1e-5):
        super().__init__()
        self.eps = eps
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.ones(features))

    def forward(self, x):
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale.reshape(1, -1, 1, 1) + shift.reshape(1, -1, 1, 1)


class FrozenBatchNormWithAnother2d(FrozenBatchNorm2d):
    def forward(self, x):
        return super().forward(x) + 0.05


class FrozenBatchNormAct2d(FrozenBatchNorm2d):
    def forward(self, x):
        return super().forward(x).relu()


@pytest.mark.parametrize("norm", [sn.nn.BatchNorm2d, nn.SyncBatchNorm, PlainSubclass, FrozenBatchNorm2d])
def test_other_batch_norms_fold_too(norm):
    model = ready(nn.Sequential(nn.Conv2d(3, 4, 3), norm(4), nn.ReLU()))
    check(model, torch.randn(2, 3, 5, 5), {"1": "0"})


@pytest.mark.parametrize(
    ("norm", "reason"),
    [
        (OtherForward, "OtherForward overrides forward"),
        (FrozenBatchNormAct2d, "FrozenBatchNormAct2d does more than scale and shift"),
        (FrozenBatchNormWithAnother2d, "FrozenBatchNormWithAnother2d does more than scale and shift"),
        (lambda c: nn.BatchNorm2d(c, track_running_stats=False), "keeps no running statistics"),
    ],
)
def test_other_batch_norms_are_kept(norm, reason):
    model = ready(nn.Sequential(nn.Conv2d(3, 4, 3), norm(4), nn.ReLU()))
    _, report = check(model, torch.randn(2, 3, 5, 5), {"1": None})
    assert reason in why(report)["1"]


class TrainsOtherwise(sn.nn.BatchNorm2d):
    def _normalize_by_batch(self, x, residual, mask):
        return super()._normalize_by_batch(x * 2, residual, mask)


def test_what_trains_otherwise_folds_all_the_same():
    model = ready(nn.Sequential(nn.Conv2d(3, 4, 3), TrainsOtherwise(4), nn.ReLU()))
    check(model, torch.randn(2, 3, 5, 5), {"1": "0"})
    report = sn.drop_redundant_biases_(model, torch.randn(2, 3, 5, 5))
    assert "TrainsOtherwise overrides forward" in report.rows[0]["why"]


class FrozenBatchNormPlus2d(FrozenBatchNorm2d):
    def forward(self, x, more=None):
        return super().forward(x) if more is None else super().forward(x) + more


def test_a_frozen_layer_that_is_given_more_is_kept():
    model = Net(lambda s, x: s.n(s.c(x), x) + s.m(s.d(x)), **layers(n=FrozenBatchNormPlus2d(3)))
    _, report = check(ready(model), torch.randn(2, 3, 5, 5), {"n": None, "m": "d"})
    assert "given more than its input" in why(report)["n"]


@pytest.mark.parametrize("activation", [None, "relu"])
def test_a_frozen_layer_of_ours_leaves_its_residual_and_mask(activation):
    def way(s, x):
        return s.n(s.c(x), x, mask=x[:, :1] > 0) + s.m(s.d(x))

    model = ready(Net(way, **layers(n=sn.nn.FrozenBatchNorm2d(3, activation=activation))))
    check(model, torch.randn(2, 3, 5, 5), {"n": "c", "m": "d"}, torch.randn(3, 3, 7, 7))


def test_a_forward_planted_on_an_instance_is_kept():
    model = ready(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    model[1].forward = lambda x: x * 2
    assert "overrides forward" in why(sn.fold(model, torch.randn(2, 3, 5, 5))[1])["1"]


def test_a_layer_in_training_mode_is_kept():
    model = ready(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2)))
    model[1].train()
    folded, report = sn.fold(model, torch.randn(2, 3, 5, 5))
    assert outcome(report) == {"1": None, "3": "2"}
    assert "training mode" in why(report)["1"]
    assert folded[1].training


# --- before -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("spatial", "transposed"), CONVS)
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("shift", [True, False])
def test_before_every_convolution(spatial, transposed, groups, kernel, shift):
    """Where zeros from outside take part, only a batch norm without shift folds: that is exact there."""
    model = nn.Sequential(
        nn.ReLU(), NORMS[spatial](4), CONVS[spatial, transposed](4, 6, kernel, groups=groups)
    ).double()
    model = ready(model)
    if not shift:
        model[1].running_mean.zero_()
        nn.init.zeros_(model[1].bias)
    exact = not shift or kernel == 1 or not transposed
    check(model, torch.randn(2, 4, *[5] * spatial).double(), {"1": "2" if exact else None})


@pytest.mark.parametrize(
    ("options", "exact"),
    [
        ({"padding": 1}, False),
        ({"padding": (0, 1)}, False),
        ({"padding": "same"}, False),
        ({"padding": "valid"}, True),
        ({"padding": 1, "padding_mode": "circular"}, True),
        ({"padding": 1, "padding_mode": "reflect"}, True),
        ({"padding": 1, "padding_mode": "replicate"}, True),
        ({"padding": "same", "padding_mode": "circular"}, True),
        ({"stride": 2, "dilation": 2}, True),
    ],
)
def test_before_a_convolution_with_padding(options, exact):
    model = ready(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, **options)))
    _, report = check(model, torch.randn(2, 3, 7, 7), {"0": "1" if exact else None}, torch.randn(1, 3, 9, 8))
    if not exact:
        assert "missing at the border" in why(report)["0"]


def test_before_a_pointwise_convolution_with_same_padding():
    model = ready(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1, padding="same")))
    check(model, torch.randn(2, 3, 7, 7), {"0": "1"})


@pytest.mark.parametrize(("layer", "exact"), [(nn.ZeroPad2d(1), False), (nn.ReflectionPad2d(1), True)])
def test_padding_by_a_layer_of_its_own(layer, exact):
    x = torch.randn(2, 3, 6, 6)
    check(ready(nn.Sequential(nn.BatchNorm2d(3), layer, nn.Conv2d(3, 4, 3))), x, {"0": "2" if exact else None})
    check(ready(nn.Sequential(nn.Conv2d(3, 4, 3), layer, nn.BatchNorm2d(4))), x, {"2": "0" if exact else None})


def test_before_a_linear_layer():
    check(ready(nn.Sequential(nn.ReLU(), nn.BatchNorm1d(5), nn.Linear(5, 4))), torch.randn(6, 5), {"1": "2"})


def test_before_several_layers_at_once():
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(3)
            self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 2, 3)

        def forward(self, x):
            x = self.norm(x)
            return self.a(x).mean() + self.b(x)

    check(ready(Heads()), torch.randn(2, 3, 5, 5), {"norm": "a, b"})


def test_a_transposed_convolution_told_its_output_size():
    class Up(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.conv = nn.BatchNorm1d(3), nn.ConvTranspose1d(3, 4, 1, stride=1)
            self.up, self.last = nn.ConvTranspose1d(4, 4, 3, stride=2), nn.BatchNorm1d(4)

        def forward(self, x):
            return self.last(self.up(self.conv(self.norm(x)), [12]))

    check(ready(Up()), torch.randn(2, 3, 5), {"norm": "conv", "last": "up"})


# --- chains -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)], {"1": "0", "2": "0"}),
        ([nn.BatchNorm2d(3), nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)], {"0": "2", "1": "2"}),
        ([nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)], {"0": "1", "2": "1"}),
        (
            [nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2), nn.BatchNorm2d(2)],
            {"1": "0", "3": "2", "4": "2"},
        ),
        ([nn.BatchNorm2d(3), nn.BatchNorm2d(3), nn.ReLU()], {"0": None, "1": None}),
        ([nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4)], {"1": "0", "3": None}),
    ],
)
def test_chains(layers, expected):
    check(ready(nn.Sequential(*layers).double()), torch.randn(2, 3, 5, 5).double(), expected)


@pytest.mark.parametrize("between", [nn.Identity(), nn.Dropout(), nn.Dropout2d(inplace=True), nn.Sequential()])
def test_through_what_does_nothing(between):
    model = ready(nn.Sequential(nn.Conv2d(3, 4, 3), between, nn.BatchNorm2d(4), between, nn.ReLU()))
    check(model, torch.randn(2, 3, 5, 5), {"2": "0"})


@pytest.mark.parametrize(
    "between",
    [nn.ReLU(), nn.ReLU(inplace=True), nn.Tanh(), nn.Hardswish(), nn.PReLU(), nn.MaxPool2d(1), nn.Dropout().train()],
    ids=lambda m: type(m).__name__,
)
def test_never_through_anything_else(between):
    model = ready(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Identity(), nn.BatchNorm2d(4)))
    model[1] = between
    folded, report = sn.fold(model, torch.randn(2, 3, 5, 5))
    assert outcome(report) == {"2": None}
    assert "in 1" in why(report)["2"]
    assert isinstance(folded[2], nn.BatchNorm2d)


# --- axes -------------------------------------------------------------------------------------------------------------


class Lambda(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    ("first", "move", "norm", "shape", "exact"),
    [
        (nn.Linear(5, 4), lambda x: x.transpose(1, 2), nn.BatchNorm1d(4), (2, 3, 5), True),
        (nn.Linear(5, 4), lambda x: x.permute(0, 2, 1).contiguous(), nn.BatchNorm1d(4), (2, 3, 5), True),
        (nn.Linear(5, 4), lambda x: x.flatten(0, 1), nn.BatchNorm1d(4), (2, 3, 5), True),
        (nn.Linear(5, 4), lambda x: x.reshape(-1, x.shape[-1]), nn.BatchNorm1d(4), (2, 3, 5), True),
        (nn.Linear(5, 4), lambda x: x[:, 0], nn.BatchNorm1d(4), (2, 3, 5), True),
        (nn.Linear(5, 4), lambda x: x[:, :, None, None], nn.BatchNorm2d(4), (2, 5), True),
        (nn.Linear(5, 4), lambda x: x, nn.BatchNorm1d(4), (2, 4, 5), False),  # 3-D: another axis of the same size
        (nn.Linear(5, 4), lambda x: x.reshape(2, 4, 4), nn.BatchNorm1d(4), (2, 4, 5), False),
        (nn.Conv2d(5, 4, 3), lambda x: x.view(x.size(0), 4, -1), nn.BatchNorm1d(4), (2, 5, 6, 6), True),
        (nn.Conv2d(5, 4, 3), lambda x: x.flatten(2), nn.BatchNorm1d(4), (2, 5, 6, 6), True),
        (nn.Conv2d(5, 4, 6), lambda x: x.flatten(1), nn.BatchNorm1d(4), (2, 5, 6, 6), True),
        (nn.Conv2d(5, 4, 5), lambda x: x.flatten(1), nn.BatchNorm1d(16), (2, 5, 6, 6), False),
        (nn.Conv2d(5, 4, 3), lambda x: x.transpose(1, 2), nn.BatchNorm2d(4), (2, 5, 6, 6), False),
        (nn.Conv2d(5, 4, 3), lambda x: x[:, :, 1:, ::2], nn.BatchNorm2d(4), (2, 5, 6, 6), True),
        (nn.Conv2d(5, 4, 3), lambda x: x.flip(1), nn.BatchNorm2d(4), (2, 5, 6, 6), False),
        (nn.Conv2d(5, 4, 3), lambda x: x[:, 1:3], nn.BatchNorm2d(2), (2, 5, 6, 6), False),
        (nn.Conv1d(5, 4, 3), lambda x: x, nn.BatchNorm1d(4), (5, 6), False),  # without a batch: rows are positions
        (nn.Conv2d(5, 4, 3), lambda x: x[None], nn.BatchNorm2d(4), (5, 6, 6), True),
        (nn.Conv2d(5, 1, 3), lambda x: x.transpose(0, 1), nn.BatchNorm2d(1), (1, 5, 6, 6), True),
    ],
)
def test_features_are_followed_through_movements(first, move, norm, shape, exact):
    model = ready(nn.Sequential(first, Lambda(move), norm).double())
    check(model, torch.randn(shape).double(), {"2": "0" if exact else None})


# --- ours -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", [None, *sn.nn.ACTIVATIONS])
def test_an_activation_of_ours_becomes_torchs(activation):
    model = ready(nn.Sequential(nn.Conv2d(3, 4, 3), sn.nn.BatchNorm2d(4, activation=activation), nn.Conv2d(4, 2, 1)))
    folded, _ = check(model, torch.randn(2, 3, 5, 5), {"1": "0"})
    assert type(folded[1]).__module__.startswith("torch.nn.modules")


def test_a_batch_norm_with_activation_does_not_fold_forward():
    model = ready(nn.Sequential(nn.ReLU(), sn.nn.BatchNorm2d(3, activation="relu"), nn.Conv2d(3, 2, 1)))
    _, report = check(model, torch.randn(2, 3, 5, 5), {"1": None})
    assert "an activation, a residual or a mask" in why(report)["1"]


class WithResidual(nn.Module):
    def __init__(self, activation="relu"):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), sn.nn.BatchNorm2d(3, activation=activation)
        self.after = nn.Conv2d(3, 2, 1)

    def forward(self, x, mask=None):
        y = self.norm(self.conv(x), residual=x, mask=mask)
        return self.after(self.norm(x=self.conv(y), mask=mask))


@pytest.mark.parametrize("activation", [None, "relu", "tanh"])
@pytest.mark.parametrize("masked", [True, False])
def test_residual_and_mask(activation, masked):
    x = torch.randn(2, 3, 5, 5)
    mask = torch.rand(2, 1, 5, 5) > 0.3
    check(ready(WithResidual(activation)), (x, mask) if masked else (x,), {"norm": "conv"}, (x * 2, mask))


def test_a_residual_of_the_same_convolution_is_another_use():
    class Same(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), sn.nn.BatchNorm2d(3)

        def forward(self, x):
            return self.norm(y := self.conv(x), y)

    _, report = check(ready(Same()), torch.randn(2, 3, 5, 5), {"norm": None})
    assert "conv also goes to norm" in why(report)["norm"]


# --- numbers ----------------------------------------------------------------------------------------------------------


@dtypes
@pytest.mark.parametrize("norm", [nn.BatchNorm2d, sn.nn.BatchNorm2d])
def test_weights_keep_their_dtype_and_layout(dtype, norm):
    model = ready(nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), norm(4), nn.ReLU()).to(dtype))
    model = model.to(memory_format=torch.channels_last).requires_grad_(False)
    folded, _ = check(model, torch.randn(2, 3, 5, 5).to(dtype), {"1": "0"})
    assert folded[0].weight.dtype == folded[0].bias.dtype == dtype
    assert folded[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert not folded[0].weight.requires_grad
    assert not folded[0].bias.requires_grad


def test_errors_are_of_each_layer_by_itself():
    """The output says nothing of the layer here, and of the next one only what that does by itself."""
    model = ready(Net(lambda s, x: s.m(s.d(s.n(s.c(x)) * 0)), **layers()))
    _, report = check(model, torch.randn(2, 3, 5, 5), {"n": "c", "m": "d"})
    first, second = (row["error"] for row in report)
    assert 0 < first < 1e-6
    assert second < 1e-6
    with pytest.raises(FoldError, match=r"differs by .* at n"):
        sn.fold(model, torch.randn(2, 3, 5, 5), tolerance=first / 100)


def test_weights_are_rounded_once():
    """Two batch norms into one layer give the float64 result, cast at the end."""
    model = ready(nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(4)))
    folded, _ = sn.fold(model, torch.randn(2, 5))
    expected, _ = sn.fold(copy.deepcopy(model).double(), torch.randn(2, 5).double())
    assert torch.equal(folded[0].weight, expected[0].weight.float())
    assert torch.equal(folded[0].bias, expected[0].bias.float())


@pytest.mark.parametrize(
    ("name", "value"), [("running_var", float("nan")), ("running_mean", float("inf")), ("weight", float("nan"))]
)
def test_values_that_are_not_finite_are_kept(name, value):
    model = ready(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    with torch.no_grad():
        getattr(model[1], name)[1] = value
    folded, report = sn.fold(model, torch.randn(2, 3, 5, 5))
    assert outcome(report) == {"1": None}
    assert "not finite" in why(report)["1"]
    assert isinstance(folded[1], nn.BatchNorm2d)
