"""What the ranks of a process group tell each other while they recalibrate together."""

from collections.abc import Sequence
from functools import reduce

from torch import Tensor, nn
from torch.distributed import ProcessGroup

from ..ranks import exchange
from .observation import Observation

__all__ = ["agree", "gather"]


def gather(observation: Observation, like: Tensor, group: ProcessGroup | None) -> None:
    """Merge all ranks' observations of one layer, in the order of the ranks, so that all get the same bits.

    The scatter of batches, and with it the standard error, stays that of this rank.
    """
    if group is None:
        return
    state = observation.state
    mine = None if state is None else type(state)(*(v.cpu() for v in state))
    every = exchange((mine, observation.batches, observation.values), group)
    observation.batches = sum(batches for _, batches, _ in every)
    observation.values = sum(values for *_, values in every)
    states = [state for state, *_ in every if state is not None]
    if states:
        merged = reduce(observation.estimator.merge, states)
        observation.state = type(merged)(*(v.to(like.device) for v in merged))


def agree(
    feeders: dict[nn.Module, set[nn.Module]], modules: Sequence[nn.Module], group: ProcessGroup | None
) -> dict[nn.Module, set[nn.Module]]:
    """Return the union of what all ranks saw of who feeds whom: a rank may have no data, or take another branch."""
    number = {module: index for index, module in enumerate(modules)}
    mine = {number[module]: {number[other] for other in behind} for module, behind in feeders.items()}
    union: dict[int, set[int]] = {}
    for theirs in exchange(mine, group):
        for index, behind in theirs.items():
            union[index] = union.get(index, set()) | behind
    return {modules[index]: {modules[other] for other in behind} for index, behind in union.items()}
