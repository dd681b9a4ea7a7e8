"""What the formulas share about axes."""

import pytest
import torch

from steadynorm.functional._tensors import features_second


@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 5), (2, 3, 4, 5)])
def test_features_second(shape):
    x = torch.randn(shape)
    y = features_second(x)
    assert y.shape == (2, 5, *shape[1:-1])
    for i in range(5):
        assert torch.equal(y[:, i], x[..., i])
