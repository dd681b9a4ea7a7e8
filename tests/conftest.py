import pytest
import torch
from hypothesis import settings

# Examples are drawn the same way on every run; a shared machine is slow at times, so no deadline.
settings.register_profile("steady", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
