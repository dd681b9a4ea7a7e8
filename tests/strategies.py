"""Inputs that hypothesis draws: shapes of 2 to 5 axes, masks, magnitudes."""

import torch
from hypothesis import strategies as st
from torch import Tensor

SHAPES = st.integers(0, 3).flatmap(
    lambda spatial: st.tuples(st.integers(1, 5), st.integers(1, 4), *[st.integers(1, 4)] * spatial)
)


@st.composite
def inputs(draw, shapes=SHAPES, dtype=torch.float64) -> Tensor:
    """Normal values around a centre, each feature at its own scale."""
    shape = draw(shapes)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    x = torch.randn(shape, generator=generator, dtype=dtype)
    along = (1, shape[1]) + (1,) * (len(shape) - 2)
    scale = torch.rand(along, generator=generator, dtype=dtype) * draw(st.sampled_from([1.0, 1e-3, 1e3])) + 1e-6
    centre = torch.randn(along, generator=generator, dtype=dtype) * draw(st.sampled_from([0.0, 1.0, 100.0]))
    return x * scale + centre


@st.composite
def masked_inputs(draw, dtype=torch.float64) -> tuple[Tensor, Tensor]:
    """An input and a mask for it, sometimes of singleton axes, sometimes hiding everything."""
    x = draw(inputs(dtype=dtype))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    shape = [size if draw(st.booleans()) or axis == 0 else 1 for axis, size in enumerate(x.shape)]
    shape[1] = 1
    return x, torch.rand(shape, generator=generator) < draw(st.sampled_from([0.0, 0.3, 0.7, 1.1]))
