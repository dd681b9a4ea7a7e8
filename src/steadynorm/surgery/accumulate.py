"""Gradient accumulation: the running statistics of several micro-batches, as of the one batch that they stand for."""

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import ModelError
from ..functional import Moments, RunningStatistics, batch_moments, merge_moments, update_running_statistics
from ..nn.recomputation import is_recomputation
from ..nn.variants.base import VariantBase
from .layers import normalization_layers, uncompiled
from .pause import paused_statistics

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
    root = uncompiled(model)
    layers = [layer for layer in normalization_layers(root) if isinstance(layer.module, _BatchNorm)]
    for layer in layers:
        if not _keeps_mean_and_variance(layer.module):
            raise ModelError(
                f"accumulation needs layers that keep mean and variance, received {layer.kind} at {layer.name}: it "
                "averages something else"
            )
    groups: dict[_BatchNorm, Moments] = {}
    with ExitStack() as stack:
        stack.enter_context(paused_statistics(root))
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        for layer in layers:
            hook = _collect(layer.module, groups)
            stack.callback(layer.module.register_forward_pre_hook(hook, with_kwargs=True).remove)
        yield
    for module, moments in groups.items():
        _update(module, moments)


def _keeps_mean_and_variance(module: nn.Module) -> bool:
    return not isinstance(module, VariantBase) or type(module)._stored is VariantBase._stored


def _collect(layer: Any, groups: dict[_BatchNorm, Moments]) -> Any:
    signature = inspect.signature(layer.forward)

    @torch.no_grad()
    def see(module: Any, args: Any, kwargs: Any) -> None:
        tracks = module.training and module.track_running_stats and module.running_mean is not None
        if not tracks or is_recomputation():
            return
        given = signature.bind(*args, **kwargs).arguments
        x = next(iter(given.values()))
        if x.dim() < 2 or x.shape[1] != module.num_features:
            return  # the layer says so better
        moments = batch_moments(x, mask=given.get("mask"))
        wide = Moments(*(v.double() for v in moments))
        groups[module] = merge_moments(groups[module], wide) if module in groups else wide

    return see


@torch.no_grad()
def _update(module: Any, moments: Moments) -> None:
    tracked = module.num_batches_tracked
    skipped = getattr(module, "skipped_updates", None)
    mean: Tensor = module.running_mean
    running = RunningStatistics(
        mean,
        module.running_var,
        mean.new_zeros((), dtype=torch.int64) if tracked is None else tracked,
        torch.zeros_like(mean, dtype=torch.int64) if skipped is None else skipped,
    )
    moved = update_running_statistics(
        running, moments.mean, moments.unbiased_var, momentum=module.momentum, present=moments.count > 0
    )
    for buffer, value in zip((mean, module.running_var, tracked, skipped), moved, strict=True):
        if buffer is not None:
            buffer.copy_(value)
