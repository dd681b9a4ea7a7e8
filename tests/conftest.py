import os
import sys

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


@pytest.fixture(autouse=True)
def uncompiled():
    """What a test has compiled ends with it: torch gives up code that was compiled too often, in later tests, too."""
    yield
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()


@pytest.fixture(scope="session")
def kernels_loaded():
    """The kernels of this machine; without a compiler, or switched off, there is nothing to test."""
    from steadynorm import kernels

    if not kernels.load():
        if kernels.status().startswith(("off", "none: no C++ compiler", "none: they are built on POSIX")):
            pytest.skip(f"kernels are {kernels.status()}")
        pytest.fail(kernels.failure() or kernels.status())


@pytest.fixture(params=["kernels", "torch"])
def either_way(request, monkeypatch):
    """Run a test twice: where the kernels take what they can, and where torch's operators take all."""
    from steadynorm.nn import dispatch

    if request.param == "kernels":
        request.getfixturevalue("kernels_loaded")
    else:
        monkeypatch.setattr(dispatch.kernels, "ready", lambda: False)
        monkeypatch.setattr(dispatch.kernels, "loaded", lambda: False)
