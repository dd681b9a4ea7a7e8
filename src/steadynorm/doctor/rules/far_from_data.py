"""Running statistics that are not those of the data, by more than noise and by enough to matter.

What is measured, and why these thresholds: :mod:`steadynorm.doctor.distance`. A warning from d = 0.5 on (a fifth of
what the next layer gets is error), an error from 1 on. Frozen layers are left out: theirs are meant to stay. Evaluation
then differs from training, which is the most frequent reason for a model that is good in `train()` and bad in `eval()`.
"""

from collections.abc import Iterator

from ..finding import Finding
from ..rule import Case

NEEDS = ("evidence",)


def check(case: Case) -> Iterator[Finding]:
    """Compare every layer that training moves with what it is given."""
    for layer in case.moving:
        far = case.distance(layer)
        if far is not None and far.is_far:
            yield Finding(
                layer.name,
                far.severity,
                far.numbers,
                "the running statistics belong to other data or other weights: few or small batches, another domain or "
                "preprocessing, a checkpoint in part",
                "sn.recalibrate_(model, batches)",
            )
