"""Five places where a peer's fold is silently wrong, and ours beside it."""

import pytest
import torch
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.nn.utils import fuse_conv_bn_eval

from folding import check, error_of, ready, why
from surgery_models import NOTHING_DONE

pytestmark = NOTHING_DONE


class Twice(nn.Module):
    """One convolution, called twice; with batch norm and without, or with two of them."""

    def __init__(self, second):
        super().__init__()
        self.conv, self.norm, self.second = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), second

    def forward(self, x):
        return self.norm(self.conv(x)) + self.second(self.conv(x))


@pytest.mark.parametrize("second", [nn.Identity(), nn.BatchNorm2d(3)], ids=["without", "another"])
def test_b1_a_convolution_called_twice(second):
    model, x = ready(Twice(second)), torch.randn(2, 3, 5, 5)
    assert error_of(fuse(model), model, x) > 0.1
    expected = {"norm": None} | ({"second": None} if isinstance(second, nn.BatchNorm2d) else {})
    _, report = check(model, x, expected)
    assert "the output of conv also goes to" in why(report)["norm"]


def test_b2_a_linear_layer_on_three_axes():
    """The batch norm's features are axis 1, those of the linear layer the last: of the same size, so nothing raises."""
    model, x = ready(nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4))), torch.randn(2, 4, 5)
    assert error_of(fuse(model), model, x) > 0.1
    _, report = check(model, x, {"1": None})
    assert "another axis" in why(report)["1"]
    check(model, torch.randn(6, 5), {"1": "0"})


@pytest.mark.parametrize(("groups", "features"), [(1, 4), (2, 4), (4, 4), (2, 6)])
def test_b3_a_transposed_convolution(groups, features):
    conv, norm = nn.ConvTranspose2d(4, features, 3, groups=groups), nn.BatchNorm2d(features)
    model, x = ready(nn.Sequential(conv, norm)), torch.randn(2, 4, 5, 5)
    if groups == 1:  # the argument transpose=True forgotten, as it is easily
        wrong = nn.Sequential(fuse_conv_bn_eval(conv, norm), nn.Identity())
        assert error_of(wrong, model, x) > 0.1
    else:  # and with it, groups raise
        with pytest.raises(RuntimeError):
            fuse_conv_bn_eval(conv, norm, transpose=True)(x)
    check(model, x, {"1": "0"})


class Reordered(nn.Module):
    """Conv, ReLU, batch norm in this order; registered in another."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()

    def forward(self, x):
        return self.norm(self.relu(self.conv(x)))


def test_b4_not_by_the_order_of_registration():
    """A walk over ``named_children`` sees the convolution followed by the batch norm, and folds through the ReLU."""
    model, x = ready(Reordered()), torch.randn(2, 3, 5, 5)
    walked = Reordered()
    walked.conv, walked.norm = fuse_conv_bn_eval(model.conv, model.norm), nn.Identity()
    assert error_of(walked, model, x) > 0.1
    _, report = check(model, x, {"norm": None})
    assert "comes from relu in relu" in why(report)["norm"]


def test_b5_weights_beyond_the_dtype():
    """A variance of next to nothing in a half-precision model: legal, and right as long as the batch norm stays."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3).half(), nn.BatchNorm2d(4, eps=1e-12)).eval()
    model[1].running_var.fill_(1e-12)
    model[1].running_mean.copy_(model[0].bias.detach().float())
    x = torch.zeros(1, 3, 5, 5).half()
    assert model(x).isfinite().all()
    assert not fuse_conv_bn_eval(model[0], model[1]).weight.isfinite().all()
    folded, report = check(model, x + 1e-4, {"1": None})
    assert "the weights of 0 would overflow torch.float16" in why(report)["1"]
    assert torch.equal(folded[0].weight, model[0].weight)
