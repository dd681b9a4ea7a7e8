"""What the tests of methods share."""

import torch
from hypothesis import strategies as st

EPS = st.sampled_from([1e-3, 1e-2, 1.0])
HERE = {"rtol": 1e-7, "atol": 1e-7}


def vectors(x, count, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(x.shape[1], generator=generator, dtype=x.dtype) for _ in range(count)]


def hidden(x, mask):
    return torch.where(mask, x, torch.nan)
