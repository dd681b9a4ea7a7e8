"""The rate at which descent on a quadratic fails."""

from collections.abc import Callable

import torch

from ...claim import Drawn, Part, generator


def threshold(slope: Callable[[float], float], start: float, high: float, steps: int = 5000) -> float:
    """Return the rate, up to ``high``, above which |θ| grows tenfold within so many steps from ``start``."""

    def diverges(rate: float) -> bool:
        theta = start
        for _ in range(steps):
            theta -= rate * slope(theta)
            if abs(theta) > 10 * abs(start):
                return True
        return False

    low = 0.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if diverges(middle) else (middle, high)
    return low


def measure(seed: int) -> dict[str, float]:
    """A curvature drawn between 0.1 and 10."""
    curvature = 10 ** float(torch.empty(()).uniform_(-1, 1, generator=generator(seed)))
    found = threshold(lambda theta: curvature * theta, 1.0, 8 / curvature)
    return {"largest stable rate × curvature / 2": found * curvature / 2}


CLAIM = Drawn(
    id="landscape/quadratic",
    order=702,
    statement="Gradient descent on a quadratic is stable below a rate of 2 over its curvature, and not above.",
    source="elementary; the article, higher learning rates",
    literature="2/curvature",
    covers=("S13",),
    protocol="½Lθ² with L drawn from 0.1 to 10, 5000 steps from 1; the rate found by bisection. Right: within 0.1 %.",
    parts=(Part("largest stable rate × curvature / 2", 0.999, 1.001, literature=1.0),),
    measure=measure,
)
