"""``steadynorm env``: what is installed, and whether it computes what it should."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..reports import Cell, Report
from .command import Command, Switch
from .exits import DONE, FAILED
from .output import print_json, print_report

__all__ = ["EnvCommand"]


@dataclass(frozen=True, kw_only=True)
class EnvCommand(Command):
    """Show versions, processor, threads and kernel, and check on this machine that the layers compute what they should.

    Ends with 1 if a check fails. Paste its output into a bug report.
    """

    json: Switch = False
    """Print one JSON document."""

    def run(self) -> int:
        """Print the environment and the outcome of each check."""
        import torch

        from .. import kernels
        from ..environment import environment

        kernels.load()
        facts = environment(threads=torch.get_num_threads(), kernels=kernels.status())
        checks = {name: check() for name, check in CHECKS.items()}
        if self.json:
            print_json({"environment": facts, "kernels' failure": kernels.failure() or None, "checks": checks})
        else:
            packages = facts.pop("packages")
            rows: list[dict[str, Cell]] = [
                {"property": name, "value": value} for name, value in {**packages, **facts}.items()
            ]
            print_report(Report("Environment", ("property", "value"), rows))
            if kernels.failure():
                print(f"\nWhy there are no kernels:\n{kernels.failure()}")
            print()
            outcomes: list[dict[str, Cell]] = [{"check": name, "passed": passed} for name, passed in checks.items()]
            print_report(Report("Checks on this machine", ("check", "passed"), outcomes))
        return DONE if all(checks.values()) else FAILED


def _gradients_are_right() -> bool:
    """Compare the gradients of the transform with finite differences, in float64."""
    import torch

    import steadynorm as sn

    generator = torch.Generator().manual_seed(0)
    x, gamma, beta = (
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in ((6, 3), 3, 3)
    )

    def transform(*inputs: torch.Tensor) -> torch.Tensor:
        return sn.functional.batch_norm(*inputs, eps=1e-5)[0]

    return torch.autograd.gradcheck(transform, (x, gamma, beta), raise_exception=False)


def _layer_equals_torch() -> bool:
    """Compare outputs, gradients and buffers with ``torch.nn.BatchNorm2d``, in training and after, in float64."""
    import torch

    import steadynorm as sn

    x = torch.randn(8, 3, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def values(layer: torch.nn.Module) -> list[torch.Tensor]:
        inputs = x.clone().requires_grad_()
        y = layer(inputs)
        y.square().sum().backward()
        gradients = [inputs.grad, *(parameter.grad for parameter in layer.parameters())]
        return [y, *(g for g in gradients if g is not None), *layer.state_dict().values(), layer.eval()(x)]

    ours = values(sn.nn.BatchNorm2d(3, dtype=torch.float64))
    theirs = values(torch.nn.BatchNorm2d(3, dtype=torch.float64))
    return all(
        torch.allclose(a.double(), b.double(), rtol=1e-10, atol=1e-10) for a, b in zip(ours, theirs, strict=True)
    )


CHECKS: dict[str, Callable[[], bool]] = {
    "gradients of the batch-norm transform": _gradients_are_right,
    "BatchNorm2d equals torch.nn.BatchNorm2d": _layer_equals_torch,
}
