"""Complex batch normalization as a layer."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Proxy

from .._torch import parameters_of
from ..errors import ChannelError, DtypeError
from ..functional import Covariance
from ..functional.complex import as_pairs, from_pairs, map_of_pairs, normalize_pairs
from ..functional.whitening import batch_covariance
from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from .finishing import Affine
from .naming import describe
from .whitening import WhiteningBase

__all__ = ["ComplexBatchNorm1d", "ComplexBatchNorm2d", "ComplexBatchNorm3d"]


class ComplexBatchNormBase(WhiteningBase):
    r"""Batch normalization of complex features, which whitens real and imaginary part together.

    .. math:: y = \phi\Bigl(\Gamma\,(V + \epsilon I)^{-1/2}(x - \mu) + \beta + r\Bigr)

    with x as the vector of its real and imaginary part and V its 2×2 covariance. So an output has no preferred
    direction in the plane, which two batch norms, one for each part, do not achieve.

    Reference: Trabelsi et al. 2018 (arXiv:1705.09792), Sec 3.5; the formula is
    :func:`steadynorm.functional.complex_batch_norm`.

    ``gamma`` (C, 3) holds γ_rr, γ_ii and γ_ri, from 1/√2, 1/√2 and 0, so that |y|² is 1 in the mean; ``beta`` (C, 2)
    real and imaginary part. The running statistics are those of 2C real features in pairs: ``running_mean`` (2C,),
    ``running_cov`` (C, 2, 2), unbiased. φ works on each part by itself, as the paper's ℂReLU does.

    Shape: input, residual and output (N, C, *S), complex; mask broadcastable to (N, 1, *S).

    Args:
        num_features: C, the number of complex features; the layer's attribute counts 2C real ones.
        others: as of :class:`steadynorm.nn.BatchNorm2d`; ``dtype`` is the real one.

    Raises: as batch norm does; DtypeError for real input.
    """

    refused = (*WhiteningBase.refused, "groups")

    gamma: Tensor | None
    beta: Tensor | None

    def __init__(self, *args: Any, **others: Any) -> None:
        features = args[0] if args else others.pop("num_features")
        super().__init__(2 * features, *args[1:], groups=max(features, 1), **others)
        weight, bias = parameters_of(self)["weight"], parameters_of(self)["bias"]
        self.register_parameter("weight", None)
        self.register_parameter("bias", None)
        self.register_parameter("gamma", None if weight is None else nn.Parameter(weight.new_empty(features, 3)))
        self.register_parameter("beta", None if bias is None else nn.Parameter(bias.new_empty(features, 2)))
        self._reset_affine()

    def reset_parameters(self) -> None:
        """Set Γ = I/√2, β = 0, and the statistics as at the start."""
        if "gamma" not in parameters_of(self):  # torch's constructor, whose parameters are still its own
            super().reset_parameters()
            return
        self.reset_running_stats()
        self._reset_affine()

    @torch.no_grad()
    def _reset_affine(self) -> None:
        if self.gamma is not None:
            self.gamma.copy_(self.gamma.new_tensor([0.5**0.5, 0.5**0.5, 0.0]))
        if self.beta is not None:
            self.beta.zero_()

    def forward(self, x: Tensor, residual: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Return activation(norm(x) + residual), and 0 where the mask is False; x and the residual are complex."""
        if isinstance(x, Proxy):
            return super().forward(x, residual, mask)
        for given in (x, residual):
            if given is not None and not given.is_complex():
                raise DtypeError(
                    f"complex batch normalization needs complex tensors, received {given.dtype}\nThe layer is "
                    f"{describe(self)}. For real features take batch norm."
                )
        self._check_input_dim(x)
        if x.shape[self.channel_axis] != self.groups:
            raise ChannelError(
                f"the input must have {self.groups} complex features, received {x.shape[self.channel_axis]}\nThe layer "
                f"is {describe(self)}."
            )
        last = self.channel_axis == -1
        y = super().forward(as_pairs(x, last=last), None if residual is None else as_pairs(residual, last=last), mask)
        return from_pairs(y, last=last)

    def _transform(self, x: Tensor, affine: Affine, mask: Tensor | None) -> tuple[Tensor, Covariance]:
        moments = batch_covariance(x, groups=self.groups, mask=mask)
        y = normalize_pairs(x, moments.mean, moments.cov, self.gamma, self.beta, eps=self.eps)
        return y, moments

    def _map(self, cov: Tensor, *, constant: bool) -> tuple[Tensor, Tensor | None]:
        return map_of_pairs(cov, self.gamma, self.beta, eps=self.eps)

    def extra_repr(self) -> str:
        """Return the number of complex features, and the settings."""
        settings = {name: getattr(self, name) for name in ("eps", "momentum", "affine", "track_running_stats")}
        others = {name: getattr(self, name) for name in self.options if name not in self.refused}
        shown = {name: v for name, v in others.items() if v not in (None, False, getattr(type(self), name, None))}
        return ", ".join([str(self.groups), *(f"{name}={v}" for name, v in (settings | shown).items())])


class ComplexBatchNorm1d(ComplexBatchNormBase, axes=BatchNorm1d.axes):
    """For (N, C) or (N, C, L) input; all else as in :class:`ComplexBatchNormBase`."""


class ComplexBatchNorm2d(ComplexBatchNormBase, axes=BatchNorm2d.axes):
    """For (N, C, H, W) input; all else as in :class:`ComplexBatchNormBase`."""


class ComplexBatchNorm3d(ComplexBatchNormBase, axes=BatchNorm3d.axes):
    """For (N, C, D, H, W) input; all else as in :class:`ComplexBatchNormBase`."""
