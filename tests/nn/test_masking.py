"""A mask for all layers in a block: as if each example stood alone; where that cannot be had, an error says where."""

import threading

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import steadynorm as sn
from steadynorm.errors import ArgumentError, DtypeError, NothingDoneWarning, ShapeError

LENGTHS = torch.tensor([13, 7, 1, 10])


def padded(lengths=LENGTHS, most=13, features=3):
    torch.manual_seed(0)
    mask = (torch.arange(most) < lengths[:, None]).unsqueeze(1)
    return torch.where(mask, torch.randn(len(lengths), features, most, dtype=torch.float64), 0), mask


def per_example(*between, norm=lambda c: sn.nn.GroupNorm(2, c)):
    """Norms that look at one example at a time, so that one can be compared with itself alone."""
    torch.manual_seed(1)
    model = nn.Sequential(norm(4), nn.Conv1d(4, 6, 3, padding=1), norm(6), nn.ReLU(), *between, norm(6))
    return model.double()


@pytest.mark.parametrize(
    "between",
    [
        (),
        (nn.Conv1d(6, 6, 3, stride=2, padding=1),),
        (nn.Conv1d(6, 6, 4, stride=3),),
        (nn.Conv1d(6, 6, 3, dilation=2),),
        (nn.Conv1d(6, 6, 3, padding="same"),),
        (nn.MaxPool1d(2),),
        (nn.MaxPool1d(3, 2, padding=1),),
        (nn.AvgPool1d(2, stride=1),),
        (nn.AvgPool1d(3, 2, padding=1),),
        (nn.Conv1d(6, 6, 3, stride=2, padding=1), sn.nn.GroupNorm(3, 6), nn.ReLU(), nn.MaxPool1d(2)),
    ],
    ids=lambda layers: "+".join(type(layer).__name__ for layer in layers) or "nothing",
)
@pytest.mark.parametrize("norm", [lambda c: sn.nn.GroupNorm(2, c), sn.nn.InstanceNorm1d], ids=["group", "instance"])
def test_each_example_becomes_what_it_becomes_alone(between, norm):
    lengths = LENGTHS + 12
    x, mask = padded(lengths, most=25, features=4)
    model = per_example(*between, norm=norm)
    with sn.nn.mask(mask):
        y = model(x)
    for i, length in enumerate(lengths.tolist()):
        alone = model(x[i : i + 1, :, :length])[0]
        assert_close(y[i, :, : alone.shape[1]], alone)
        assert (y[i, :, alone.shape[1] :] == 0).all()


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_takes_the_statistics_of_what_counts(training):
    x, mask = padded()
    model = nn.Sequential(sn.nn.BatchNorm1d(3), nn.Conv1d(3, 5, 3, stride=2, padding=1), sn.nn.BatchNorm1d(5)).double()
    model.train(training)
    seen = {}
    model[2].register_forward_pre_hook(lambda module, args: seen.update(x=args[0]))
    with sn.nn.mask(mask):
        y = model(x)
    becomes = (torch.arange(7) < ((LENGTHS + 1) // 2)[:, None]).unsqueeze(1)
    assert ((y != 0).any(1) == becomes[:, 0]).all()
    if training:
        values = seen["x"].movedim(1, -1)[becomes[:, 0]]
        assert_close(model[2].running_mean, 0.1 * values.mean(0))
        assert_close(model[2].running_var, 0.9 + 0.1 * values.var(0))


def test_images_of_different_sizes():
    sizes = torch.tensor([[8, 8], [5, 7], [8, 3]])
    inside = [torch.arange(8) < sizes[:, i, None] for i in range(2)]
    mask = (inside[0][:, :, None] & inside[1][:, None, :]).unsqueeze(1)
    torch.manual_seed(0)
    x = torch.where(mask, torch.randn(3, 4, 8, 8).double(), 0)
    model = nn.Sequential(
        nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False),
        sn.nn.GroupNorm(2, 6),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, padding=1),
    ).double()
    with sn.nn.mask(mask):
        y = model(x)
    for i, (h, w) in enumerate(sizes.tolist()):
        alone = model(x[i : i + 1, :, :h, :w])[0]
        assert_close(y[i, :, : alone.shape[1], : alone.shape[2]], alone)


def test_tokens_with_features_last():
    x, mask = padded()
    tokens = x.transpose(1, 2)
    model = nn.Sequential(sn.nn.LayerNorm(3), nn.Linear(3, 5), sn.nn.BatchNorm1d(5, channel_axis=-1)).double()
    with sn.nn.mask(mask):
        y = model(tokens)
    plain = sn.nn.BatchNorm1d(5).double()
    z = model[1](model[0](tokens, mask=mask.transpose(1, 2)))
    assert_close(y, plain(z.transpose(1, 2), mask=mask).transpose(1, 2))


def test_domains_and_classes_take_it_too():
    x, mask = padded()
    layers = (
        sn.nn.DomainBatchNorm1d(3, domains=["a", "b"]).double(),
        sn.nn.ConditionalBatchNorm1d(3, num_classes=2).double(),
    )
    numbers = torch.tensor([0, 1, 1, 0])
    for layer in layers:
        with sn.nn.domain(numbers), sn.nn.condition(numbers):
            expected = layer.double().eval()(x, mask=mask)
            with sn.nn.mask(mask):
                assert_close(layer(x), expected)


def test_a_mask_of_its_own_comes_first_and_blocks_nest():
    x, mask = padded()
    layer = sn.nn.GroupNorm(1, 3).double()
    other = torch.ones_like(mask)
    with sn.nn.mask(mask):
        assert_close(layer(x, mask=other), nn.GroupNorm(1, 3).double()(x))
        with sn.nn.mask(other):
            assert_close(layer(x), nn.GroupNorm(1, 3).double()(x))
        with pytest.raises(ShapeError), sn.nn.mask(other):
            layer(x[:, :, 1:])
        assert_close(layer(x), layer(x, mask=mask))
    assert_close(layer(x), nn.GroupNorm(1, 3).double()(x))


def test_each_thread_has_its_own():
    x, mask = padded()
    layer, seen = sn.nn.GroupNorm(1, 3).double(), []
    with sn.nn.mask(mask):
        thread = threading.Thread(target=lambda: seen.append(layer(x)))
        thread.start()
        thread.join()
        layer(x)
    assert_close(seen[0], nn.GroupNorm(1, 3).double()(x))


def test_without_positions_nothing_is_hidden():
    x, mask = padded()
    model = nn.Sequential(sn.nn.BatchNorm1d(3), nn.AdaptiveAvgPool1d(1), nn.Flatten(), sn.nn.BatchNorm1d(3)).double()
    with sn.nn.mask(mask):
        assert model(x).shape == (4, 3)


class Halved(nn.Module):
    def forward(self, x):
        return x[:, :, ::2]


@pytest.mark.parametrize(
    ("between", "mask", "message"),
    [
        (Halved(), None, "the block has masks for 13"),
        (nn.AdaptiveAvgPool1d(4), None, "the block has masks for 13"),
        (nn.AvgPool1d(2, ceil_mode=True), None, "by ceil_mode"),
        (nn.AvgPool1d(3, 2, padding=1, count_include_pad=False), None, "over fewer positions"),
        (nn.MaxPool1d(3, 2, padding=1), None, "the largest of negative values"),
        (nn.Conv1d(3, 3, 3, 2, padding=1, padding_mode="circular"), None, "it pads by circular"),
        (nn.Conv1d(3, 3, 3, 2, padding=1), "holes", "not padding at the end"),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, nn.Module) else "",
)
def test_a_layer_that_needs_its_own_is_named(between, mask, message):
    x, known = padded()
    if mask == "holes":
        known = known.clone()
        known[0, 0, 3] = False
    model = nn.Sequential(sn.nn.BatchNorm1d(3), between, sn.nn.GroupNorm(1, 3)).double()
    with sn.nn.mask(known), pytest.raises(ShapeError, match=message) as caught:
        model(x)
    assert "the layer needs a mask of its own" in str(caught.value)
    assert "'2' (GroupNorm" in str(caught.value)


def test_two_ways_to_one_size():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv1d(3, 3, 3, 2), nn.Conv1d(3, 3, 3, 2, padding=(0,))
            self.c = nn.Conv1d(3, 3, 2, 2)  # as many positions of 13, others of 7
            self.norm = sn.nn.GroupNorm(1, 3)

        def forward(self, x, three):
            y = self.a(x) + self.b(x)
            return self.norm(y + self.c(x) if three else y)

    x, mask = padded(torch.tensor([13, 6, 4]))
    model = Two().double()
    with sn.nn.mask(mask):
        model(x, three=False)
    with sn.nn.mask(mask), pytest.raises(ShapeError, match="two ways lead to so many positions"):
        model(x, three=True)


def test_examples_must_be_as_many():
    x, mask = padded()
    with sn.nn.mask(mask), pytest.raises(ShapeError, match="for 4 examples, and its input has 3"):
        sn.nn.BatchNorm1d(3).double()(x[:3])
    with sn.nn.mask(mask[:1]):  # one for all
        sn.nn.BatchNorm1d(3).double()(x)


def test_arguments_and_a_block_that_did_nothing():
    _, mask = padded()
    for wrong, error in ((mask[:, 0], ArgumentError), (mask.expand(-1, 3, -1), ArgumentError), (3, ArgumentError)):
        with pytest.raises(error, match=r"must be a tensor \(N, 1, \*S\)"), sn.nn.mask(wrong):
            pass
    with pytest.raises(DtypeError, match="must be boolean"), sn.nn.mask(mask.float()):
        pass
    with pytest.warns(NothingDoneWarning, match="no layer in the block took the mask"), sn.nn.mask(mask):
        nn.BatchNorm1d(3)(torch.randn(4, 3, 13))


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, about hooks on all modules and graphs that break
def test_compiled_with_graph_breaks():
    x, mask = padded()
    layer = sn.nn.BatchNorm1d(3).double().eval()
    compiled = torch.compile(layer, backend="aot_eager")
    with sn.nn.mask(mask):
        assert_close(compiled(x), layer(x, mask=mask))
    assert_close(compiled(x), layer(x))
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (sn.nn.GroupNorm(2, 4), nn.GroupNorm(2, 4)),
        (sn.nn.LayerNorm(6), nn.LayerNorm(6)),
        (sn.nn.InstanceNorm1d(4, affine=True), nn.InstanceNorm1d(4, affine=True)),
        (sn.nn.InstanceNorm1d(4, track_running_stats=True), nn.InstanceNorm1d(4, track_running_stats=True)),
    ],
    ids=lambda v: type(v).__name__,
)
def test_without_a_mask_they_are_torchs(ours, theirs):
    x = torch.randn(3, 4, 6)
    assert isinstance(ours, type(theirs))
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert torch.equal(ours(x), theirs(x))


def test_an_instance_norm_with_running_statistics_takes_no_mask():
    x, mask = padded()
    with pytest.raises(ArgumentError, match="takes no mask"):
        sn.nn.InstanceNorm1d(3, track_running_stats=True).double()(x, mask=mask)


def test_tools_see_the_mask_of_the_block():
    x, mask = padded()
    model = nn.Sequential(sn.nn.BatchNorm1d(3)).double()

    def run(model, batch):
        with sn.nn.mask(mask):
            return model(batch)

    sn.recalibrate_(model, [x], forward=run)
    assert_close(model[0].running_mean, x.movedim(1, -1)[mask[:, 0]].mean(0))
    assert not sn.diagnose(model, [x] * 4, forward=run, rules=["far-from-data", "padding-in-statistics"]).findings
