"""A ResNet-18 of our layers in the export tools of other makers, where these are installed, beside one of torch's."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

import steadynorm as sn

KINDS = ["torch's", "ours", "fused"]


class Block(nn.Module):
    """The basic block of He et al. 2016; ``fused`` leaves residual and activation to the second batch norm."""

    def __init__(self, before, after, stride, norm, fused):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, after, 3, stride, 1, bias=False), norm(after)
        self.conv2, self.bn2 = nn.Conv2d(after, after, 3, 1, 1, bias=False), norm(after)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.shortcut = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), norm(after))
        self.fused = fused
        if fused:
            self.bn1.activation = self.bn2.activation = "relu"

    def forward(self, x):
        residual = self.shortcut(x)
        if self.fused:
            return self.bn2(self.conv2(self.bn1(self.conv1(x))), residual)
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(y + residual)


def resnet18(kind, width=8):
    """Return a narrow one, of weights and statistics that are the same for every kind, and none of them trivial."""
    torch.manual_seed(0)
    norm, fused = nn.BatchNorm2d if kind == "torch's" else sn.nn.BatchNorm2d, kind == "fused"
    blocks, before = [], width
    for stage in range(4):
        after = width * 2**stage
        blocks += [Block(before, after, 1 + (stage > 0), norm, fused), Block(after, after, 1, norm, fused)]
        before = after
    stem = nn.Conv2d(3, width, 7, 2, 3, bias=False), norm(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
    model = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.3, 2.3)
    return model


def images(count=3):
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(4, 3, 64, 64, generator=draw) for _ in range(count)]


# ======================================================================================================================
# quantization
# ======================================================================================================================
def quantizer(qat):
    x86 = pytest.importorskip("torchao.quantization.pt2e.quantizer.x86_inductor_quantizer")
    settings = x86.get_default_x86_inductor_quantization_config(is_qat=qat)
    return x86.X86InductorQuantizer().set_global(settings)


def static(model, batches):
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    prepared = prepare_pt2e(torch.export.export(model.eval(), (batches[0],)).module(), quantizer(qat=False))
    for x in batches:
        prepared(x)
    return convert_pt2e(prepared)


def trained(model, batches):
    from torchao.quantization.pt2e import move_exported_model_to_eval
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e

    prepared = prepare_qat_pt2e(torch.export.export(model.train(), (batches[0],)).module(), quantizer(qat=True))
    optimizer = torch.optim.SGD(prepared.parameters(), lr=0.01)
    for x in batches:
        optimizer.zero_grad()
        F.cross_entropy(prepared(x), torch.arange(4)).backward()
        optimizer.step()
    move_exported_model_to_eval(prepared)
    return convert_pt2e(prepared)


def quantized(model):
    """Return how many weights of convolutions a graph has in 8 bits, and how many batch norms are left."""
    calls = [str(node.target) for node in model.graph.nodes]
    return sum("quantize_per_channel" in call for call in calls), sum("batch_norm" in call for call in calls)


@pytest.mark.filterwarnings("ignore")  # torch's and torchao's own
@pytest.mark.parametrize("way", [static, trained])
def test_quantization_by_torchao(way):
    pytest.importorskip("torchao")
    batches = images()
    results = {}
    for kind in KINDS:
        model = resnet18(kind)
        converted = way(copy.deepcopy(model), batches)
        assert quantized(converted) == (21, 0)  # 20 convolutions and the classifier
        results[kind] = [converted(x) for x in batches]
        if way is static:
            assert_close(results[kind], [model.eval()(x) for x in batches], rtol=0, atol=0.02)
    for kind in KINDS[1:]:
        assert_close(results[kind], results["torch's"], rtol=0, atol=0)
