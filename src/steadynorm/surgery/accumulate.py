"""Gradient accumulation: the running statistics of several micro-batches, as of the one batch that they stand for."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .. import kernels
from ..errors import ModelError
from ..functional import Moments, RunningStatistics, batch_moments, merge_moments
from ..nn.moving import is_recomputation
from .layers import layers_of
from .pause import paused_statistics
from .watch import given_to, hooked

__all__ = ["accumulated_statistics"]


@contextmanager
def accumulated_statistics(model: nn.Module) -> Iterator[None]:
    r"""Treat all batches in this block as one batch in the running statistics: one update, at the block's end.

    .. math:: n = \sum_k n_k, \quad \mu = \frac1n\sum_k n_k \mu_k, \quad
              \sigma^2 = \frac1n\sum_k n_k\bigl(\sigma_k^2 + (\mu_k - \mu)^2\bigr)

    ::

        for group in groups:
            with accumulated_statistics(model):
                for x, labels in group:
                    (loss_of(model(x), labels) / len(group)).backward()
            optimizer.step()

    With it the running mean and variance, and the number of batches tracked, are those of one large batch, given the
    same inputs to the layer: without it every micro-batch moves them, with the variance between micro-batches left out.
    The **gradients cannot match** the large batch's: each micro-batch was normalized by its own statistics when it went
    through, and the inputs of later layers bear that. For normalization that does not depend on the cut take ghost
    batches of the micro-batch's size as the reference, renormalization, or group norm.

    Layers in evaluation and frozen ones work as ever. If the block raises, nothing is updated. Compiled models are run
    uncompiled in the block, since hooks are.

    Args:
        model: any model, of torch's batch norms or ours. The second pass over each layer's input costs about as much
            as its forward.

    Raises: ModelError for layers that keep other statistics than mean and variance; ArgumentError if it is no module.
    """
    layers = [layer for layer in layers_of(model) if layer.is_batch_norm]
    for layer in layers:
        if layer.why_no_variances:
            raise ModelError(
                f"accumulation needs layers that keep mean and variance, received {layer.kind} at {layer.name}: it "
                "averages something else"
            )
    groups: dict[nn.Module, Moments] = {}

    @torch.no_grad()
    def see(module: Any, args: Any, kwargs: Any) -> None:
        tracks = module.training and module.track_running_stats and module.running_mean is not None
        if not tracks or is_recomputation():
            return
        x, mask = given_to(module, args, kwargs)
        if x.dim() < 2 or x.shape[1] != module.num_features:
            return  # the layer says so better
        wide = Moments(*(v.double() for v in batch_moments(x, mask=mask)))
        groups[module] = merge_moments(groups[module], wide) if module in groups else wide

    with ExitStack() as stack:
        stack.enter_context(paused_statistics(model))
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(hooked([layer.module for layer in layers], see))
        yield
    for module, moments in groups.items():
        _update(module, moments)


def _update(module: Any, moments: Moments) -> None:
    mean: Tensor = module.running_mean
    tracked, skipped = module.num_batches_tracked, getattr(module, "skipped_updates", None)
    running = RunningStatistics(
        mean,
        module.running_var,
        mean.new_zeros((), dtype=torch.int64) if tracked is None else tracked,
        torch.zeros_like(mean, dtype=torch.int64) if skipped is None else skipped,
    )
    kernels.move(running, moments.mean, moments.var, module.momentum, count=moments.count, bessel=True)
