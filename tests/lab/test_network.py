"""The network is the paper's table: widths, sizes, counts, and what the variants share."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import nn

from steadynorm.errors import ArgumentError
from steadynorm.lab.network import Network, NetworkOptions, stem_for

FULL = NetworkOptions(classes=1000, stem="paper-full")
EIGHTH = NetworkOptions(classes=10, channels=1, stem="small", width=Fraction(1, 8))


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def on_meta(options):
    with torch.device("meta"):
        return Network(options)


def test_parameters_follow_from_the_table():
    normalized, plain = on_meta(FULL), on_meta(replace(FULL, batch_norm=False))
    maps = sum(m.out_channels for m in normalized.modules() if isinstance(m, nn.Conv2d))
    assert parameters(normalized) == 11_285_224
    assert parameters(normalized) + maps == 11_295_240  # if the convolutions kept their biases
    assert parameters(plain) - maps == 11_265_192  # neither batch norm nor biases
    # the table's footnote: 3·8 filters of 7×7 and a 1×1 convolution instead of a full 7×7 one
    assert parameters(normalized) - parameters(on_meta(replace(FULL, stem="paper"))) == 64 * 3 * 49 - (
        24 * 49 + 64 * 24
    )


def test_the_papers_table_has_11_295_240_parameters():
    """Counted as published ports do: a full first convolution, and every bias, those that batch norm cancels too."""
    assert parameters(on_meta(replace(FULL, cancelled_biases=True))) == 11_295_240
    assert parameters(on_meta(replace(FULL, cancelled_biases=True, table="printed"))) == 11_204_936
    assert parameters(on_meta(replace(FULL, stem="paper"))) == 11_278_528


def test_the_printed_reading_gives_the_printed_sizes():
    network = on_meta(replace(FULL, table="printed"))
    assert [module.outputs for module in network.body] == [256, 320, 576, 576, 576, 576, 576, 1024, 1024, 1024]


def test_parameters_of_the_ladder():
    assert 0.15e6 < parameters(Network(EIGHTH)) < 0.17e6


def test_convolutions():
    assert sum(isinstance(m, nn.Conv2d) for m in on_meta(FULL).modules()) == 69


@pytest.mark.parametrize(
    ("options", "size", "positions"),
    [
        (FULL, 224, [28, 28, 14, 14, 14, 14, 14, 7, 7, 7]),
        (replace(FULL, stem="paper"), 224, [28, 28, 14, 14, 14, 14, 14, 7, 7, 7]),
        (replace(FULL, stem="small"), 8, [8, 8, 4, 4, 4, 4, 4, 2, 2, 2]),
        (replace(FULL, stem="small-pool"), 32, [16, 16, 8, 8, 8, 8, 8, 4, 4, 4]),
    ],
)
def test_shapes_of_the_table(options, size, positions):
    network = on_meta(options)
    seen = []
    for module in network.body:
        module.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape[1:])))
    assert network(torch.empty(2, 3, size, size, device="meta")).shape == (2, 1000)
    maps = [256, 320, 576, 576, 576, 608, 608, 1056, 1024, 1024]  # literally: 4c, 4d and 4e are not as printed
    assert seen == [(m, p, p) for m, p in zip(maps, positions, strict=True)]


def test_stem_by_size():
    assert [stem_for(size) for size in (8, 28, 32, 224)] == ["small", "small-pool", "small-pool", "paper"]


def test_bias_stands_where_batch_norm_does_not():
    for batch_norm in (True, False):
        network = on_meta(replace(FULL, batch_norm=batch_norm))
        convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
        norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        assert {c.bias is None for c in convolutions} == {batch_norm}
        assert [n.num_features for n in norms] == [c.out_channels for c in convolutions] * batch_norm


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_activation(activation, batch_norm):
    options = replace(EIGHTH, activation=activation, batch_norm=batch_norm)
    network = Network(options)
    features = network.body(network.stem(torch.randn(2, 1, 8, 8)))
    assert features.min() >= 0
    # the last module's last branch ends in the activation: sigmoids stay below 1 and never are 0
    assert ((features > 0) & (features < 1)).all() == (activation == "sigmoid")


def test_local_response_norm_is_torchs_and_follows_the_nonlinearity():
    stem = Network(replace(EIGHTH, batch_norm=False, local_response_norm=True)).stem
    places = [i for i, layer in enumerate(stem) if isinstance(layer, nn.LocalResponseNorm)]
    assert len(places) == 2
    assert all(isinstance(stem[place - 1], nn.ReLU) for place in places)
    x = torch.randn(3, 8, 4, 4, dtype=torch.float64) * 100  # large, so that the denominator matters
    layer = stem[places[0]]
    torch.testing.assert_close(layer(x), nn.functional.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1))
    assert (layer(x) - x).abs().max() > 1


def test_variants_start_from_equal_weights():
    def weights(**changes):
        network = Network(replace(EIGHTH, **changes), torch.Generator().manual_seed(3))
        return [m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]

    reference = weights()
    for changes in ({"batch_norm": False}, {"activation": "sigmoid"}, {"local_response_norm": True, "dropout": 0.4}):
        assert all(map(torch.equal, reference, weights(**changes)))
    assert not torch.equal(reference[0], weights(initialization="glorot")[0])


@pytest.mark.parametrize(("initialization", "variance"), [("he", 2 / (24 * 9)), ("glorot", 2 / (24 * 9 + 40 * 9))])
def test_initialization(initialization, variance):
    network = Network(replace(EIGHTH, initialization=initialization), torch.Generator().manual_seed(0))
    convolution = next(m for m in network.body[8].modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3))
    assert convolution.weight.shape == (40, 24, 3, 3)  # 5a at 1/8: 192 → 320 maps
    assert convolution.weight.var().item() == pytest.approx(variance, rel=0.1)
    assert not network.head.bias.any()


def test_average_pools_do_not_count_the_padding():
    pools = [m for m in Network(EIGHTH).modules() if isinstance(m, nn.AvgPool2d)]
    assert len(pools) == 7  # 5b's is a max pool, 3c and 4e have theirs of stride 2
    for pool in pools:
        assert torch.equal(pool(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 4, 4))


def test_dropout_in_front_of_the_linear_layer():
    network = Network(replace(EIGHTH, dropout=0.4))
    x = torch.randn(4, 1, 8, 8)
    network.eval()
    still = network(x)
    torch.testing.assert_close(network(x), still)
    network.dropout.train()
    assert (network(x) - still).abs().max() > 0


def test_errors():
    with pytest.raises(ArgumentError, match="width must give every layer a whole number of maps, received 1/7"):
        Network(replace(EIGHTH, width=Fraction(1, 7)))
