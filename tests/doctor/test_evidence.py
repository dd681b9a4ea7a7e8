"""What the doctor observes: which statistics each batch norm works with."""

import pytest
import torch
from torch import nn

import steadynorm as sn
from steadynorm.doctor.evidence import examine
from steadynorm.doctor.subject import Subject


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("norm", [nn.BatchNorm1d, sn.nn.BatchNorm1d])
@pytest.mark.parametrize("held", [False, True])
def test_a_layer_put_into_evaluation_by_hand_normalizes_by_its_running_statistics(norm, held, dropout):
    model = nn.Sequential(norm(3), nn.Dropout(0.5 if dropout else 0.0), norm(3)).train()
    model[0].running_mean.fill_(5.0)
    model[0].train(not held)
    seen = examine(Subject(model), [torch.randn(64, 3, generator=torch.Generator().manual_seed(0))], None)
    given = seen.without_dropout if dropout else seen.seen
    mean = given[model[2]].pooled.mean
    torch.testing.assert_close(mean, torch.full_like(mean, -5.0 if held else 0.0), atol=0.5, rtol=0)
    assert model[0].training is not held
