"""Batches of utterances of different lengths: one mask for the whole network, and no padding in any statistic."""

import torch
from torch import nn

import steadynorm as sn

torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv1d(40, 64, 5, stride=2, padding=2, bias=False), sn.nn.BatchNorm1d(64, activation="relu"),
    nn.Conv1d(64, 64, 5, stride=2, padding=2, bias=False), sn.nn.BatchNorm1d(64, activation="relu"),
    nn.Conv1d(64, 64, 3, padding=1, bias=False), sn.nn.GroupNorm(8, 64),
)  # fmt: skip


def utterances(lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features (N, 40, L), filled with 0, and the mask (N, 1, L)."""
    mask = (torch.arange(int(lengths.max())) < lengths[:, None])[:, None]
    return torch.where(mask, torch.randn(len(lengths), 40, mask.shape[-1]) + 3, 0), mask


for _ in range(60):
    x, mask = utterances(torch.randint(20, 201, (16,)))
    with sn.nn.mask(mask):  # resampled at each stride
        model(x)

x, mask = utterances(torch.tensor([200, 37]))
with torch.no_grad(), sn.nn.mask(mask):
    together = model.eval()(x)
with torch.no_grad():
    alone = model(x[1:, :, :37])
torch.testing.assert_close(together[1:, :, : alone.shape[-1]], alone)
assert (together[1, :, alone.shape[-1] :] == 0).all()
print("an utterance beside a longer one becomes what it becomes alone")
