"""Running statistics that are assigned inside of a function, and so lost."""

import torch
from torch import Tensor

from ....functional import RunningStatistics, batch_moments, update_running_statistics
from ...claim import Drawn, Part, generator


def as_printed(x: Tensor, run_mean: Tensor, run_var: Tensor, momentum: float) -> Tensor:
    """Train on a batch, as pseudo-code that assigns the running statistics to its own arguments."""
    moments = batch_moments(x)
    run_mean = (1 - momentum) * run_mean + momentum * moments.mean
    run_var = (1 - momentum) * run_var + momentum * moments.unbiased_var
    return (x - moments.mean) / moments.var.sqrt()


def measure(seed: int) -> dict[str, float]:
    """A hundred batches of mean 3 and variance 4."""
    random = generator(seed)
    run_mean, run_var = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    state = RunningStatistics.initial(run_mean)
    for _ in range(100):
        x = 3 + 2 * torch.randn(64, 1, generator=random, dtype=torch.float64)
        as_printed(x, run_mean, run_var, 0.1)
        moments = batch_moments(x)
        state = update_running_statistics(state, moments.mean, moments.unbiased_var, momentum=0.1)
    return {
        "running mean after 100 batches": float(run_mean),
        "running variance after 100 batches": float(run_var),
        "running mean if the state is returned": float(state.mean),
        "running variance if the state is returned": float(state.var),
    }


CLAIM = Drawn(
    id="statistics/rebinding",
    order=506,
    statement="The article's pseudo-code, which assigns run_mean and run_var inside of the function, keeps them for "
    "inference.",
    source="the article, Eq 5, pseudo-code",
    literature="the population's: here 3 and 4",
    covers=("S8", "E2"),
    protocol="A hundred batches of 64 values of mean 3 and variance 4 through such a function, in Python, momentum "
    "0.1; what the caller holds afterwards. Kept: within 20 % of the population's.",
    parts=(
        Part("running mean after 100 batches", 2.4, 3.6, literature=3.0),
        Part("running variance after 100 batches", 3.2, 4.8, literature=4.0),
        Part("running mean if the state is returned", role="shown"),
        Part("running variance if the state is returned", role="shown"),
    ),
    measure=measure,
    instead="The assignment binds new tensors to local names: the caller still holds "
    "{running mean after 100 batches} and {running variance after 100 batches}. Return the state or change it in "
    "place.",
)
