import os

import pytest
import torch
from hypothesis import Phase, settings

# Examples are drawn the same way on every run; a shared machine is slow at times, so no deadline.
settings.register_profile("steady", derandomize=True, deadline=None, max_examples=60)
# tools/mutants.py wants a failure, not the smallest one.
settings.register_profile(
    "mutants", settings.get_profile("steady"), max_examples=25, phases=(Phase.explicit, Phase.generate)
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
