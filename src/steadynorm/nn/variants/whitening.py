"""Whitening layers: ZCA by eigenvalues, and by Newton's iteration."""

from typing import Any

import torch
from torch import Tensor

from ... import functional
from ...errors import ShapeError
from ...functional import Covariance, RunningStatistics
from ...functional.variants.whitening import check_groups, check_iterations
from ..batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from ..dispatch import finish, wide_affine
from ..naming import describe
from .base import VariantBase

__all__ = ["IterNorm1d", "IterNorm2d", "IterNorm3d", "WhiteningNorm1d", "WhiteningNorm2d", "WhiteningNorm3d"]


class WhiteningBase(VariantBase):
    """What the two whitening layers share: covariances in the place of variances.

    ``running_cov``, (groups, C/groups, C/groups), unbiased, is averaged as batch norm averages its variances; in
    evaluation it is whitened anew in every call. A batch norm's checkpoint loads: its variances become the diagonal.
    A non-finite feature takes its whole group with it; the group then skips the update.
    """

    running_cov: Tensor | None
    statistics = ("running_mean", "running_cov")
    iterations: int | None = None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
        activation: str | None = None,
        groups: int = 1,
    ) -> None:
        check_groups(groups, num_features)
        options: dict[str, Any] = {"bias": bias, "activation": activation}
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, **options)
        self.groups = groups
        var, self.running_var = self.running_var, None
        self.register_buffer("running_cov", None if var is None else self._diagonal(var))
        self.widen_statistics()

    def _diagonal(self, var: Tensor) -> Tensor:
        return torch.diag_embed(var.reshape(self.groups, -1))

    def _transform(
        self, x: Tensor, gamma: Tensor | None, beta: Tensor | None, mask: Tensor | None
    ) -> tuple[Tensor, Covariance]:
        if self.iterations is None:
            return functional.whitening_norm(x, gamma, beta, groups=self.groups, eps=self.eps, mask=mask)
        return functional.iter_norm(
            x, gamma, beta, groups=self.groups, iterations=self.iterations, eps=self.eps, mask=mask
        )

    def _stored(self, moments: Covariance) -> tuple[Tensor, Tensor]:
        return moments.mean, moments.unbiased_cov.reshape(self.num_features, -1)

    def _running_statistics(self) -> RunningStatistics | None:
        running, cov = super()._running_statistics(), self.running_cov
        return None if running is None or cov is None else running._replace(var=cov.view(self.num_features, -1))

    def _normalize_by_running(self, x: Tensor, residual: Tensor | None, mask: Tensor | None) -> Tensor:
        matrix = functional.whitening_matrix(self.running_cov, eps=self.eps, iterations=self.iterations)  # type: ignore[arg-type]
        y = functional.whiten(x, self.running_mean, matrix, *wide_affine(self.weight, self.bias))  # type: ignore[arg-type]
        return finish(y, residual, self.activation)

    def reset_running_stats(self) -> None:
        """Set means 0, covariances those of independent features of variance 1, and no batch."""
        cov = self._buffers.get("running_cov")
        if cov is None:  # torch's constructor, whose buffers are still its own
            super().reset_running_stats()
            return
        self.running_mean.zero_()  # type: ignore[union-attr]
        cov.copy_(torch.eye(cov.shape[-1]))
        self.num_batches_tracked.zero_()  # type: ignore[union-attr]
        self._reset_skipped_updates()

    def plain_state(self) -> dict[str, Tensor]:
        """Return the state_dict of the batch norm that remains when covariances between features are left out."""
        state = dict(self.state_dict())
        cov = state.pop("running_cov", None)
        return state if cov is None else state | {"running_var": cov.diagonal(dim1=1, dim2=2).reshape(-1)}

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        var, cov = prefix + "running_var", prefix + "running_cov"
        if var in state_dict and cov not in state_dict and state_dict[var].numel() == self.num_features:
            state_dict[cov] = self._diagonal(state_dict.pop(var))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        """Return batch norm's text and the groups."""
        return f"{super().extra_repr()}, groups={self.groups}"


class WhiteningNormBase(WhiteningBase):
    r"""Decorrelated batch normalization: within a group features come out uncorrelated, with variance 1 (ZCA).

    .. math:: y = \gamma \odot (\Sigma + \epsilon I)^{-1/2}(x - \mu) + \beta

    In training μ and Σ are the batch's, in evaluation the running ones.

    Reference: Huang et al. 2018 (arXiv:1804.08450); the formula is :func:`steadynorm.functional.whitening_norm`.

    Args:
        groups: how many runs of neighbouring features are whitened apart; C groups are batch norm. A batch must hold
            more values than a group has features.
        others: as of :class:`steadynorm.nn.BatchNorm2d`.

    Raises: as batch norm does; ArgumentError for groups that do not divide C; ShapeError in training for a batch that
    cannot support a covariance of full rank. Behind a mask that is not looked for: only ε then stands under the root.
    """

    def _check_input(self, x: Tensor, residual: Tensor | None, mask: Tensor | None, by_batch: bool) -> None:
        super()._check_input(x, residual, mask, by_batch)
        values, features = len(x) * x.shape[2:].numel(), self.num_features // self.groups
        if by_batch and 0 < values <= features:
            raise ShapeError(
                f"whitening needs more values of a feature than there are features in a group, received {values} "
                f"values, {features} features\nThe layer is {describe(self)}. Ways out: a larger batch; more groups; "
                "IterNorm, which leaves directions of small variance small."
            )


class IterNormBase(WhiteningBase):
    r"""Iterative normalization: whitening by a few of Newton's iterations.

    .. math:: y = \gamma \odot W_T (x - \mu) + \beta, \qquad W_T \to (\Sigma + \epsilon I)^{-1/2}

    Matrix products only, no eigenvalues; after few iterations the directions of small variance are left small, which
    keeps a small batch's noise down.

    Reference: Huang et al. 2019 (arXiv:1904.03441); the formula is :func:`steadynorm.functional.iter_norm`.

    Differs: the running statistics are the covariances, from which evaluation takes as many iterations; the paper
    averages the whitening matrices.

    Args:
        groups: how many runs of neighbouring features are whitened apart.
        iterations: T, 1 or more.
        others: as of :class:`steadynorm.nn.BatchNorm2d`.

    Raises: as batch norm does; ArgumentError for groups that do not divide C, and iterations.
    """

    iterations: int

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
        activation: str | None = None,
        groups: int = 1,
        iterations: int = 5,
    ) -> None:
        check_iterations(iterations)
        options: dict[str, Any] = {"bias": bias, "activation": activation, "groups": groups}
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, **options)
        self.iterations = iterations

    def extra_repr(self) -> str:
        """Return batch norm's text, the groups and the iterations."""
        return f"{super().extra_repr()}, iterations={self.iterations}"


class WhiteningNorm1d(WhiteningNormBase):
    """For (N, C) or (N, C, L) input; all else as in :class:`WhiteningNormBase`."""

    axes = BatchNorm1d.axes


class WhiteningNorm2d(WhiteningNormBase):
    """For (N, C, H, W) input; all else as in :class:`WhiteningNormBase`."""

    axes = BatchNorm2d.axes


class WhiteningNorm3d(WhiteningNormBase):
    """For (N, C, D, H, W) input; all else as in :class:`WhiteningNormBase`."""

    axes = BatchNorm3d.axes


class IterNorm1d(IterNormBase):
    """For (N, C) or (N, C, L) input; all else as in :class:`IterNormBase`."""

    axes = BatchNorm1d.axes


class IterNorm2d(IterNormBase):
    """For (N, C, H, W) input; all else as in :class:`IterNormBase`."""

    axes = BatchNorm2d.axes


class IterNorm3d(IterNormBase):
    """For (N, C, D, H, W) input; all else as in :class:`IterNormBase`."""

    axes = BatchNorm3d.axes
