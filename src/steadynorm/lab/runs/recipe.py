"""How one arm of a comparison is built and trained."""

from dataclasses import dataclass
from typing import Literal

from ..network import Activation

__all__ = ["Recipe", "Shuffling"]

Shuffling = Literal["batches", "examples"]


@dataclass(frozen=True)
class Recipe:
    """The settings of an arm; the defaults are those of *Inception* without batch norm.

    The numbers are those of the seven changes of Ioffe & Szegedy 2015, Sec. 4.2.1. The paper leaves out the values of
    momentum, L2, decay and distortion; ours stand here, were fixed before any run, and are the same for all arms but
    for the change that the paper names.
    """

    name: str

    batch_norm: bool = False
    activation: Activation = "relu"

    # 1. The initial learning rate as a multiple of the baseline's.
    rate_multiplier: float = 1.0
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
    # 7. Photometric distortion: contrast × U(1-d, 1+d), brightness + U(-d, d) standard deviations, for each image.
    distortion: float = 0.3

    batch_size: int = 32
    momentum: float = 0.9
