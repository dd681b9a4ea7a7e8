"""The ladder's six arms: what Ioffe & Szegedy 2015, Sec. 4.2.1–4.2.2, changed from one to the next.

The paper names the arms and seven changes, numbered below, that it makes once batch norm is in. It leaves out the
values of momentum, L2, decay and distortion; ours stand here, were fixed before any run, and are the same for all arms
but for the change that the paper names.

* *BN-Baseline*: *Inception* with batch norm before every nonlinearity, nothing else.
* *BN-x5*: also all seven changes, at 5 times the baseline's rate.
* *BN-x30*: the same at 30 times the baseline's rate.
* *BN-x5-Sigmoid*: BN-x5 with sigmoids in place of rectifiers.
* *Inception-Sigmoid*: *Inception* with sigmoids; the paper's text mentions it: it never left chance.
"""

from dataclasses import dataclass, replace
from typing import Literal

from .network import Activation

__all__ = ["ARMS", "BASELINE", "PAPER_TARGET", "Paper", "Recipe", "Shuffling"]

Shuffling = Literal["batches", "examples"]

#: The accuracy to which the paper counts steps: the best of its baseline.
PAPER_TARGET = 0.722


@dataclass(frozen=True)
class Paper:
    """What the paper's table (its Figure 3) and text report of an arm, on ImageNet; None where they say nothing."""

    learning_rate: float | None = None
    steps_to_target: float | None = None
    best_accuracy: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Recipe:
    """How one arm is built and trained; the seven changes are numbered as in the paper's Sec. 4.2.1."""

    name: str
    paper: Paper

    batch_norm: bool = False
    activation: Activation = "relu"

    # 1. The initial learning rate, in units of the baseline's.
    rate: float = 1.0
    # 2. Dropout in front of the linear layer; 0.4 is the original Inception's.
    dropout: float = 0.4
    # 3. L2 on the weights of convolutions and of the linear layer; there is none on γ, β and biases.
    weight_decay: float = 2e-4
    # 4. How often the learning rate halves during the run: exponentially, a little every step.
    halvings: float = 1.0
    # 5.
    local_response_norm: bool = True
    # 6. "batches": the same examples always share a batch, only the batches change their order; "examples": every epoch
    #    shuffles the examples. The paper begins to shuffle within its shards of the data; here all data are one shard.
    shuffling: Shuffling = "batches"
    # 7. Photometric distortion: contrast × U(1-d, 1+d), brightness + U(-d, d) deviations, drawn for each image.
    distortion: float = 0.3

    batch_size: int = 32
    momentum: float = 0.9


BASELINE = Recipe("Inception", Paper(0.0015, 31.0e6, 0.722))

_BN_BASELINE = replace(BASELINE, name="BN-Baseline", paper=Paper(0.0015, 13.3e6, 0.727), batch_norm=True)

_BN_X5 = replace(
    _BN_BASELINE,
    name="BN-x5",
    paper=Paper(0.0075, 2.1e6, 0.730),
    rate=5.0,
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
        replace(
            _BN_X5, name="BN-x30", paper=Paper(0.045, 2.7e6, 0.748, "its best after about 6 million steps"), rate=30.0
        ),
        replace(
            _BN_X5,
            name="BN-x5-Sigmoid",
            paper=Paper(0.0075, None, 0.698, "never reaches the target"),
            activation="sigmoid",
        ),
        replace(
            BASELINE,
            name="Inception-Sigmoid",
            paper=Paper(None, None, 0.001, "never better than chance, 1 in 1000; rate not reported"),
            activation="sigmoid",
        ),
    )
}
