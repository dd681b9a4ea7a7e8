"""Conditional batch normalization: γ and β by class, as a layer, and the block that says the classes."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import kernels
from .._torch import parameters_of
from ..errors import ArgumentError, ModelError
from ..functional import Moments, RunningStatistics
from ..functional._tensors import examples_apart, widen
from ..functional.conditional import check_classes, conditional_batch_norm, of_class, scale_by_class
from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from .dispatch import code_for
from .finishing import Affine, finish, wide_affine
from .method import MethodBase
from .naming import describe
from .weighted import may_be_taken_apart

__all__ = ["ConditionalBatchNorm1d", "ConditionalBatchNorm2d", "ConditionalBatchNorm3d", "condition"]

_active: ContextVar[int | Tensor | None] = ContextVar("classes", default=None)


def active_classes() -> int | Tensor | None:
    """Return the classes of the innermost block; None outside of all."""
    return _active.get()


@contextmanager
def condition(classes: int | Tensor) -> Iterator[None]:
    """In this block every :class:`ConditionalBatchNorm2d` (1d, 3d) takes γ and β of these classes.

    Blocks nest; the innermost counts. Each thread and each asynchronous task has its own.

    Args:
        classes: a number for the whole batch, or a tensor (N,) of one for each example.

    Raises: ArgumentError for anything else.
    """
    if isinstance(classes, bool) or not isinstance(classes, int | Tensor):
        raise ArgumentError(f"classes must be an integer or a tensor of integers, received {type(classes).__name__}")
    token = _active.set(classes)
    try:
        yield
    finally:
        _active.reset(token)


class ConditionalBatchNormBase(MethodBase):
    r"""Batch normalization with the batch's common statistics, and γ and β of each example's class.

    .. math:: y_i = \gamma_{k_i}\,\frac{x_i - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta_{k_i}

    ::

        generator = nn.Sequential(..., ConditionalBatchNorm2d(64, num_classes=10), ...)
        with condition(labels):  # one for each example, or one number for all
            images = generator(z)

    Reference: de Vries et al. 2017 (arXiv:1707.00683), where a network makes γ and β; with a table, as here, Miyato &
    Koyama 2018 (arXiv:1802.05637). The formula is :func:`steadynorm.functional.conditional_batch_norm`.

    γ and β are ``class_weight`` and ``class_bias``, (K, C), from 1 and 0; the checkpoint of a plain batch norm loads
    into every class. In evaluation it is no affine map with constants, so it is neither folded nor frozen. A
    recomputation under activation checkpointing needs the block as well: call ``backward`` inside it.
    ``torch.compile`` breaks its graph at each layer.

    Args:
        num_classes: K, 1 or more.
        others: as of :class:`steadynorm.nn.BatchNorm2d`.

    Raises: as batch norm does; ArgumentError for a class out of range, ShapeError and DtypeError for a tensor that does
    not say one for each example; ModelError outside of all blocks.
    """

    class_weight: Tensor | None
    class_bias: Tensor | None

    def __init__(self, *args: Any, num_classes: int, **others: Any) -> None:
        if num_classes != int(num_classes) or num_classes < 1:
            raise ArgumentError(f"num_classes must be an integer, 1 or more, received {num_classes}")
        super().__init__(*args, **others)
        self.num_classes = num_classes
        for name in ("weight", "bias"):
            one = parameters_of(self)[name]
            self.register_parameter(name, None)
            table = None if one is None else nn.Parameter(one.detach().repeat(num_classes, 1))
            self.register_parameter(f"class_{name}", table)

    def reset_parameters(self) -> None:
        """Set γ 1, β 0, and the statistics as at the start."""
        if "class_weight" not in parameters_of(self):  # torch's constructor, whose parameters are still its own
            super().reset_parameters()
            return
        self.reset_running_stats()
        for table, value in ((self.class_weight, 1.0), (self.class_bias, 0.0)):
            if table is not None:
                nn.init.constant_(table, value)

    @property
    def classes(self) -> int | Tensor:
        """Those of the innermost block."""
        classes = active_classes()
        if classes is None:
            raise ModelError(
                f"classes must be given, for {describe(self)}: call the model inside with steadynorm.nn.condition(...)"
            )
        return classes

    def _transform(self, x: Tensor, affine: Affine, mask: Tensor | None) -> tuple[Tensor, Moments]:
        return conditional_batch_norm(
            x, self.class_weight, self.class_bias, classes=self.classes, eps=self.eps, mask=mask
        )

    def _fused(self, x: Tensor, residual: Tensor | None, moving: RunningStatistics | None) -> Tensor | None:
        affine, by_example = self._rows()
        if not by_example:
            return kernels.batch_norm(x, residual, *affine, moving, self.momentum, self.eps, self.activation)
        if x.dtype is torch.bfloat16 or not may_be_taken_apart(x):
            return None
        x_hat = kernels.batch_norm(x, None, None, None, moving, self.momentum, self.eps, None)
        return self._affine_by_example(x_hat, residual, affine, x.new_zeros(x.shape[1]), x.new_ones(x.shape[1]), 0.0)

    def _normalize_by_running(self, x: Tensor, residual: Tensor | None, mask: Tensor | None) -> Tensor:
        mean, var, *_ = self._constants()
        if code_for(x, residual, None, None, mean) == "kernel":
            affine, by_example = self._rows()
            if not by_example:
                return kernels.normalize(x, residual, *affine, mean, var, self.eps, self.activation)
            if may_be_taken_apart(x):
                return self._affine_by_example(x, residual, affine, mean, var, self.eps)
        wide = widen(x)
        dtype = torch.promote_types(wide.dtype, mean.dtype)
        y = F.batch_norm(wide.to(dtype), mean.to(dtype), var.to(dtype), None, None, False, 0.0, self.eps)
        y = scale_by_class(y, self.class_weight, self.class_bias, self.classes).to(x.dtype)
        return finish(y, residual, self.activation)

    def _rows(self) -> tuple[Affine, bool]:
        """Return γ and β of the class, (C,), and False; or those of each example's, (N·C,), and True."""
        classes = self.classes
        tables = wide_affine(self.class_weight, self.class_bias)
        rows = [None if table is None else of_class(table, classes) for table in tables]
        by_example = any(v is not None and v.dim() == 2 for v in rows)
        gamma, beta = (None if v is None else v.reshape(-1) for v in rows)
        return (gamma, beta), by_example

    def _affine_by_example(
        self, x: Tensor, residual: Tensor | None, affine: Affine, mean: Tensor, var: Tensor, eps: float
    ) -> Tensor:
        """Return what the kernels make of each example with its own γ and β."""
        apart = None if residual is None else examples_apart(residual)
        statistics = mean.repeat(len(x)), var.repeat(len(x))
        return kernels.normalize(examples_apart(x), apart, *affine, *statistics, eps, self.activation).view(x.shape)

    def _check_input(self, x: Tensor, residual: Tensor | None, mask: Tensor | None, by_batch: bool) -> None:
        super()._check_input(x, residual, mask, by_batch)
        check_classes(self.classes, x, self.num_classes)

    def extra_repr(self) -> str:
        """Return torch's text without the bias that is not there."""
        return super().extra_repr() if self.class_bias is None else super().extra_repr().replace(", bias=False", "")

    def plain_state(self) -> dict[str, Tensor]:
        """Return the state_dict of the batch norm that remains without γ and β."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith("class_")}

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        for name in ("weight", "bias"):
            plain, table = prefix + name, f"{prefix}class_{name}"
            if plain in state_dict and table not in state_dict:
                state_dict[table] = state_dict.pop(plain).repeat(self.num_classes, 1)
        super()._load_from_state_dict(state_dict, prefix, *args)


class ConditionalBatchNorm1d(ConditionalBatchNormBase, BatchNorm1d):
    """For (N, C) or (N, C, L) input; all else as in :class:`ConditionalBatchNormBase`."""


class ConditionalBatchNorm2d(ConditionalBatchNormBase, BatchNorm2d):
    """For (N, C, H, W) input; all else as in :class:`ConditionalBatchNormBase`."""


class ConditionalBatchNorm3d(ConditionalBatchNormBase, BatchNorm3d):
    """For (N, C, D, H, W) input; all else as in :class:`ConditionalBatchNormBase`."""
