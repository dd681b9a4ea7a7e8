"""Average the weights of a training (EMA), and take the running statistics anew, which an average of weights needs."""

from itertools import pairwise

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import steadynorm as sn

torch.manual_seed(0)
centres = torch.randn(4, 8) * 2


def batch(n: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw points around four centres, and which centre it was."""
    y = torch.randint(4, (n,))
    return centres[y] + torch.randn(n, 8), y


sizes = (8, 64, 64, 64, 64)
hidden = [(nn.Linear(n, m, bias=False), nn.BatchNorm1d(m), nn.ReLU()) for n, m in pairwise(sizes)]
model = nn.Sequential(*(layer for block in hidden for layer in block), nn.Linear(64, 4))
average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
for _ in range(300):
    x, y = batch()
    loss = nn.functional.cross_entropy(model.train()(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    average.update_parameters(model)  # copies the statistics of other weights

data = [batch() for _ in range(20)]
print(sn.recalibrate_(average, data))  # how far the statistics were from those of the averaged weights
print(sn.diagnose(average, data))
