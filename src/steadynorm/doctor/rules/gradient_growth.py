"""Gradients that explode or vanish over the depth.

In one training step on a copy: ‖∂loss/∂x · σ‖ at the input of every batch norm, how much the loss changes if x does by
its own deviation, which no scale of the weights alters. A warning where the largest is more than 10⁴ times the smallest
that is not 0. Batch norm's gradients grow by 1.21 a layer at the start in a network of its layers alone (Yang et al.
2019, arXiv:1902.08129), so to 10⁴ in 48 layers; residual networks are far from it.
"""

from collections.abc import Iterator

from ...reports import Cell
from ..finding import Finding
from ..rule import Case

NEEDS = ("step",)

MOST = 1e4


def check(case: Case) -> Iterator[Finding]:
    """Compare the extremes."""
    assert case.step is not None
    sizes = {module: size for module, size in case.step.gradients.items() if size > 0}
    if len(sizes) < 2:
        return
    large, small = max(sizes, key=sizes.__getitem__), min(sizes, key=sizes.__getitem__)
    if sizes[large] > MOST * sizes[small]:
        names = {layer.module: layer.name for layer in case.layers}
        order = list(sizes)
        word = "grow towards the input" if order.index(large) < order.index(small) else "vanish towards the input"
        numbers: dict[str, Cell] = {"largest": sizes[large], "smallest": sizes[small], "smallest in": names[small]}
        cause = f"gradients {word} by more than {MOST:.0e}"
        fix = "residual connections, a smaller learning rate at the start, or fewer layers in a row"
        yield Finding(names[large], "warning", numbers, cause, fix)
