"""Whole training steps: forward, cross-entropy, backward, SGD, on images of 128×128; time, and the peak of memory."""

import ctypes
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from steadynorm import kernels
from steadynorm.bench import interleave

from .networks import NETWORKS, by_torch, without_norms

__all__ = ["measure"]

BATCH, SIZE = 8, 128
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
VERSIONS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "torch": by_torch,
    "steadynorm": lambda model: model,
    "without": without_norms,
}


def step_of(network: str, version: str, layout: str) -> Callable[[], torch.Tensor]:
    """Return a function that makes one step and returns the loss."""
    torch.manual_seed(0)
    model = VERSIONS[version](NETWORKS[network]()).to(memory_format=LAYOUTS[layout])
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    images = torch.randn(BATCH, 3, SIZE, SIZE).to(memory_format=LAYOUTS[layout])
    labels = torch.randint(1000, (BATCH,))

    def step() -> torch.Tensor:
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def measure(rounds: int) -> Iterator[dict[str, Any]]:
    """Yield a row a network and layout; before it is timed, ours must lose what torch's loses."""
    for network in NETWORKS:
        for layout in LAYOUTS:
            steps = {version: step_of(network, version, layout) for version in VERSIONS}
            torch.testing.assert_close(steps["steadynorm"](), steps["torch"](), rtol=1e-3, atol=1e-3)
            timings = interleave(steps, rounds=rounds)
            torchs, ours, without = (timings[version].seconds for version in VERSIONS)
            yield {
                "network": network,
                "layout": layout,
                "torch ms": 1e3 * torchs,
                "steadynorm ms": 1e3 * ours,
                "without norms ms": 1e3 * without,
                "speed-up": timings["steadynorm"].speedup,
                "quartiles": timings["steadynorm"].speedup_quartiles,
                "share of norms": 1 - without / torchs,
                "taken back": (torchs - ours) / (torchs - without),
                "torch peak MB": peak(network, "torch", layout),
                "steadynorm peak MB": peak(network, "steadynorm", layout),
                "rounds": rounds,
            }


def peak(network: str, version: str, layout: str) -> float:
    """Return by how many MB a step raises the memory of a fresh process at its peak."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.steps", network, version, layout], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def _memory(field: str) -> float:
    """Return VmRSS or VmHWM of this process, in MB; Linux only."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(field)) / 2**10


if __name__ == "__main__":
    kernels.load()
    made = step_of(*sys.argv[1:])
    made()  # what is made once and stays
    ctypes.CDLL(None).malloc_trim(0)  # and what the allocator holds back goes
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak begins here
    before = _memory("VmRSS")
    made()
    print(_memory("VmHWM") - before)
