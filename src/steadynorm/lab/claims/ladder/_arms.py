"""The ladder's six arms: what Ioffe & Szegedy 2015, Sec. 4.2.1–4.2.2, changed from one to the next, and its figures.

* *BN-Baseline*: *Inception* with batch norm before every nonlinearity, nothing else.
* *BN-x5*: also all seven changes (see :class:`~steadynorm.lab.runs.recipe.Recipe`), at 5 times the baseline's rate.
* *BN-x30*: the same at 30 times the baseline's rate.
* *BN-x5-Sigmoid*: BN-x5 with sigmoids in place of rectifiers.
* *Inception-Sigmoid*: *Inception* with sigmoids; the paper's text mentions it: it never left chance.
"""

from dataclasses import dataclass, replace

from ...runs.recipe import Recipe

__all__ = ["ARMS", "BASELINE", "PAPER", "PAPER_TARGET", "Paper", "paper_ratio"]

#: The accuracy to which the paper counts steps: the best of its baseline.
PAPER_TARGET = 0.722


@dataclass(frozen=True)
class Paper:
    """What the paper's table (its Figure 3) and text report of an arm, on ImageNet; None where they say nothing."""

    learning_rate: float | None = None
    steps_to_target: float | None = None
    best_accuracy: float | None = None
    note: str = ""


BASELINE = Recipe("Inception")
_BN_BASELINE = replace(BASELINE, name="BN-Baseline", batch_norm=True)
_BN_X5 = replace(
    _BN_BASELINE,
    name="BN-x5",
    rate_multiplier=5.0,
    dropout=0.0,
    weight_decay=BASELINE.weight_decay / 5,
    halvings=6 * BASELINE.halvings,
    local_response_norm=False,
    shuffling="examples",
    distortion=0.1,
)

#: The arms by name, in the order of the paper's table.
ARMS = {
    recipe.name: recipe
    for recipe in (
        BASELINE,
        _BN_BASELINE,
        _BN_X5,
        replace(_BN_X5, name="BN-x30", rate_multiplier=30.0),
        replace(_BN_X5, name="BN-x5-Sigmoid", activation="sigmoid"),
        replace(BASELINE, name="Inception-Sigmoid", activation="sigmoid"),
    )
}

PAPER = {
    "Inception": Paper(0.0015, 31.0e6, 0.722),
    "BN-Baseline": Paper(0.0015, 13.3e6, 0.727),
    "BN-x5": Paper(0.0075, 2.1e6, 0.730),
    "BN-x30": Paper(0.045, 2.7e6, 0.748, "its best after about 6 million steps"),
    "BN-x5-Sigmoid": Paper(0.0075, None, 0.698, "never reaches the target"),
    "Inception-Sigmoid": Paper(None, None, 0.001, "never better than chance, 1 in 1000; rate not reported"),
}


def paper_ratio(name: str) -> float | None:
    """Return how many times fewer steps than its baseline the paper reports for an arm; None where it does not."""
    base, steps = PAPER[BASELINE.name].steps_to_target, PAPER[name].steps_to_target
    return None if base is None or steps is None else base / steps
