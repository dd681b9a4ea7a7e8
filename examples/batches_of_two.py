"""Batches of two: what batch norm loses there, and what renormalization and group norm do instead."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import steadynorm as sn

digits = load_digits()
images, labels = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1, torch.tensor(digits.target)
order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
train, test = order[:1400], order[1400:]


def network() -> nn.Sequential:
    """Three convolutions with batch norm."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 16), (16, 32), (32, 32)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(512, 10))


def trained(model: nn.Module, rate: float, steps: int = 700) -> float:
    """Train on batches of two, and return the test accuracy in evaluation."""
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    draw = torch.Generator().manual_seed(1)
    for _ in range(steps):
        chosen = train[torch.randint(len(train), (2,), generator=draw)]
        loss = nn.functional.cross_entropy(model.train()(images[chosen]), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return float((model.eval()(images[test]).argmax(1) == labels[test]).float().mean())


ramp = {
    "r_max": sn.nn.Ramp(1.0, 3.0, begin=50, end=300),  # batch norm at first, then relaxed
    "d_max": sn.nn.Ramp(0.0, 5.0, begin=50, end=300),
}
for name, rate, options in (("batch", 0.01, {}), ("renorm", 0.01, ramp), ("group", 0.01, {"num_groups": 4})):
    model = network()
    sn.convert_(model, name, **options)
    print(f"{name:>6}: {trained(model, rate):.1%}")
