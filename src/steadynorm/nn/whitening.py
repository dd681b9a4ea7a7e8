"""Whitening layers: ZCA by eigenvalues, and by Newton's iteration."""

from typing import Any

import torch
from torch import Tensor

from .. import kernels
from .._torch import buffers_of
from ..errors import ShapeError
from ..functional import Covariance, RunningStatistics
from ..functional.whitening import check_groups, check_iterations, scaled_rows, whiten, whitening_matrix, whitening_norm
from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from .dispatch import code_for
from .finishing import Affine, finish, wide_affine
from .method import MethodBase
from .moving import move
from .naming import describe

__all__ = ["IterNorm1d", "IterNorm2d", "IterNorm3d", "WhiteningNorm1d", "WhiteningNorm2d", "WhiteningNorm3d"]


class WhiteningBase(MethodBase):
    """What the two whitening layers share: covariances in the place of variances.

    ``running_cov``, (groups, C/groups, C/groups), unbiased, is averaged as batch norm averages its variances; in
    evaluation its whitening matrix is computed again when it has changed, by whatever way. A batch norm's checkpoint
    loads: its variances become the diagonal. A non-finite feature takes its whole group with it; the group then
    skips the update.
    """

    running_cov: Tensor | None
    statistics = ("running_mean", "running_cov")
    iterations: int | None = None
    _known: tuple[Any, Tensor, Tensor] | None = None  # settings and covariances, and the matrix that whitens these

    def __init__(self, *args: Any, groups: int = 1, **others: Any) -> None:
        super().__init__(*args, **others)
        check_groups(groups, self.num_features)
        self.groups = groups
        var, self.running_var = self.running_var, None
        self.register_buffer("running_cov", None if var is None else self._diagonal(var))
        self.widen_statistics()

    def _diagonal(self, var: Tensor) -> Tensor:
        return torch.diag_embed(var.reshape(self.groups, -1))

    def _transform(self, x: Tensor, affine: Affine, mask: Tensor | None) -> tuple[Tensor, Covariance]:
        options: dict[str, Any] = {"groups": self.groups, "iterations": self.iterations, "eps": self.eps}
        return whitening_norm(x, *affine, **options, mask=mask)

    def _stored(self, moments: Covariance) -> tuple[Tensor, Tensor, bool]:
        return moments.mean, moments.cov.view(self.num_features, -1), True

    def _constants(self) -> tuple[Any, ...]:
        return self.running_mean, self.running_cov, self.weight, self.bias

    def _running_statistics(self) -> RunningStatistics | None:
        running, cov = super()._running_statistics(), self.running_cov
        return None if running is None or cov is None else running._replace(var=cov.view(self.num_features, -1))

    def _fused(self, x: Tensor, residual: Tensor | None, moving: RunningStatistics | None) -> Tensor | None:
        if x.dtype is torch.bfloat16 or _has_short_planes(x):  # the gradient's parts would each be rounded
            return None
        moments = kernels.covariance(x, groups=self.groups)
        y = self._mixed(x, residual, moments.mean, self._map(moments.cov, constant=False))
        if moving is not None:
            mean, cov, bessel = self._stored(moments)
            move(moving, x, mean, cov, self.momentum, count=moments.count, bessel=bessel)
        return y

    def _normalize_by_running(self, x: Tensor, residual: Tensor | None, mask: Tensor | None) -> Tensor:
        mean, cov, weight, bias = self._constants()
        if code_for(x, residual, weight, bias, mean) == "kernel" and not _has_short_planes(x):
            return self._mixed(x, residual, mean, self._map(cov, constant=True))
        matrix, shift = self._map(cov, constant=False)
        return finish(whiten(x, mean, matrix, None, shift), residual, self.activation)

    def _mixed(self, x: Tensor, residual: Tensor | None, mean: Tensor, by: tuple[Tensor, Tensor | None]) -> Tensor:
        """Return activation(matrix (x − mean) + shift + residual) by the kernels, at once if nothing is recorded."""
        matrix, shift = by
        if not torch.is_grad_enabled():
            return kernels.mix(x, residual, matrix, mean, shift, self.activation)
        return finish(kernels.mix(x, None, matrix, mean, shift, None), residual, self.activation)

    def _map(self, cov: Tensor, *, constant: bool) -> tuple[Tensor, Tensor | None]:
        """Return the matrices that whiten these covariances and scale by γ, and the shift β.

        Of ``constant`` ones the matrix is kept. They are compared with those it was made of: changes by way of
        ``.data`` leave no other trace.
        """
        weight, bias = wide_affine(self.weight, self.bias)
        if not constant or cov.requires_grad:
            return scaled_rows(whitening_matrix(cov, eps=self.eps, iterations=self.iterations), weight), bias
        settings, known = (cov.dtype, self.eps, self.iterations), self._known
        if known is None or known[0] != settings or not torch.equal(known[1], cov):
            with torch.inference_mode(False):  # what is made there could not be saved for a backward pass later
                cov = cov.clone()
                known = settings, cov, whitening_matrix(cov, eps=self.eps, iterations=self.iterations)
            self._known = known
        return scaled_rows(known[2], weight), bias

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_known"}

    def reset_running_stats(self) -> None:
        """Set means 0, covariances those of independent features of variance 1, and no batch."""
        cov = buffers_of(self).get("running_cov")
        if cov is None:  # torch's constructor, whose buffers are still its own
            super().reset_running_stats()
            return
        cov.copy_(torch.eye(cov.shape[-1]))
        for name in ("running_mean", "num_batches_tracked"):
            self.get_buffer(name).zero_()
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


def _has_short_planes(x: Tensor) -> bool:
    """Tell whether features are neither side by side nor rows long enough to fill the kernels' vectors."""
    return x.is_contiguous() and 1 < x.shape[2:].numel() < 16


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

    def __init__(self, *args: Any, iterations: int = 5, **others: Any) -> None:
        check_iterations(iterations)
        super().__init__(*args, **others)
        self.iterations = iterations


class WhiteningNorm1d(WhiteningNormBase, axes=BatchNorm1d.axes):
    """For (N, C) or (N, C, L) input; all else as in :class:`WhiteningNormBase`."""


class WhiteningNorm2d(WhiteningNormBase, axes=BatchNorm2d.axes):
    """For (N, C, H, W) input; all else as in :class:`WhiteningNormBase`."""


class WhiteningNorm3d(WhiteningNormBase, axes=BatchNorm3d.axes):
    """For (N, C, D, H, W) input; all else as in :class:`WhiteningNormBase`."""


class IterNorm1d(IterNormBase, axes=BatchNorm1d.axes):
    """For (N, C) or (N, C, L) input; all else as in :class:`IterNormBase`."""


class IterNorm2d(IterNormBase, axes=BatchNorm2d.axes):
    """For (N, C, H, W) input; all else as in :class:`IterNormBase`."""


class IterNorm3d(IterNormBase, axes=BatchNorm3d.axes):
    """For (N, C, D, H, W) input; all else as in :class:`IterNormBase`."""
