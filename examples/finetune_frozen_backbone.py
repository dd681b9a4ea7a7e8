"""Fine-tune a pretrained network on other data with its batch norms frozen, so that train() does not thaw them."""

import torch
from torch import nn

import steadynorm as sn

torch.manual_seed(0)
backbone = nn.Sequential(
    nn.Conv2d(1, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
    nn.Conv2d(16, 32, 3, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
)  # fmt: skip
for _ in range(50):  # stands for pretraining: the statistics of its data
    backbone(torch.randn(32, 1, 12, 12) * 2 + 1)

model = nn.Sequential(backbone, nn.Linear(32, 3))
backbone.requires_grad_(False)
print(sn.diagnose(model.train()).at_least("warning"))  # frozen-looking: the statistics still move

print(sn.freeze_(model, affine=True))  # the fix that the doctor advises
kept = {name: buffer.clone() for name, buffer in model.named_buffers()}

optimizer = torch.optim.SGD(model[1].parameters(), lr=0.1)
for _ in range(20):
    x, y = torch.randn(4, 1, 12, 12), torch.randint(3, (4,))  # small batches, other statistics
    loss = nn.functional.cross_entropy(model.train()(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

assert all(torch.equal(buffer, kept[name]) for name, buffer in model.named_buffers())
print("every statistic is what it was")
