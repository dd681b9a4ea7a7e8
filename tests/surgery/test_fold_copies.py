"""Models whose own ``__deepcopy__`` gives something else than a copy, and code that lies beside torch's."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

import steadynorm as sn
from surgery_models import NOTHING_DONE

pytestmark = NOTHING_DONE

X = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def layers():
    """Return layers with statistics that are not those of a fresh model."""
    made = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4)]
    for layer in made:
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_var, 0.3, 2.3)
            nn.init.normal_(layer.running_mean)
    return made


class Thawing(nn.Sequential):
    """As torchvision's feature extractors: its copies are in training."""

    def __deepcopy__(self, memo):
        new = Thawing(*[copy.deepcopy(child, memo) for child in self])
        return new.train()


class Sharing(nn.Sequential):
    def __deepcopy__(self, memo):
        return Sharing(*list(self)).train()


class SharingTensors(nn.Sequential):
    def __deepcopy__(self, memo):
        new = SharingTensors(*layers()).double().eval()
        new.load_state_dict(self.state_dict())
        new[0].weight = self[0].weight
        return new


class Forgetting(nn.Sequential):
    def __deepcopy__(self, memo):
        return Forgetting(*layers()).double().eval()


class Shortening(nn.Sequential):
    def __deepcopy__(self, memo):
        return Shortening(*[copy.deepcopy(child, memo) for child in list(self)[:3]]).eval()


def test_a_copy_in_training_is_brought_back_to_the_originals_modes():
    model = Thawing(*layers()).double().eval()
    expected = model(X)
    folded, _ = sn.fold(model, X)
    assert not any(module.training for module in (*folded.modules(), *model.modules()))
    torch.testing.assert_close(folded(X), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Sharing, "shares 0"),
        (SharingTensors, "shares 0.weight"),
        (Forgetting, "must hold the same values"),
        (Shortening, "differs in 3"),
    ],
)
def test_what_is_no_copy_is_refused_and_the_original_stays(kind, message):
    torch.manual_seed(0)
    model = kind(*layers()).double().eval()
    before, modes = copy.copy(model.state_dict()), [m.training for m in model.modules()]
    values = {name: v.clone() for name, v in before.items()}
    modules = list(model.modules())
    with pytest.raises(sn.errors.ModelError, match=message):
        sn.fold(model, X)
    assert list(model.modules()) == modules
    assert [m.training for m in model.modules()] == modes
    for name, value in model.state_dict().items():
        assert torch.equal(value, values[name])


def test_sizes_decide_in_packages_whose_path_begins_like_torchs():
    """``site-packages/torchvision`` begins with ``site-packages/torch``, but is the model's code."""
    source = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x):
        y = self.conv(x)
        return self.bn(y) if x.shape[-1] > 10 else self.bn(y) + y.mean()
"""
    beside = f"{Path(torch.__file__).parent}vision/net.py"
    module = {"__name__": "net"}
    exec(compile(source, beside, "exec"), module)
    model = module["Net"]().double().eval()
    nn.init.uniform_(model.bn.running_var, 0.3, 2.3)
    nn.init.normal_(model.bn.running_mean)
    folded, _ = sn.fold(model, torch.randn(2, 3, 16, 16, dtype=torch.float64))
    torch.testing.assert_close(folded(X), model(X), rtol=1e-11, atol=1e-11)
