"""Layers that normalize in other ways, with batch norm's constructor and, where the state is the same, its keys."""

from .domain import DomainBatchNorm1d, DomainBatchNorm2d, DomainBatchNorm3d, domain
from .ghost import GhostBatchNorm1d, GhostBatchNorm2d, GhostBatchNorm3d
from .lp import LpBatchNorm1d, LpBatchNorm2d, LpBatchNorm3d
from .noisy import NoisyBatchNorm1d, NoisyBatchNorm2d, NoisyBatchNorm3d
from .renorm import BatchRenorm1d, BatchRenorm2d, BatchRenorm3d, Ramp
from .weighing import ExampleWeighedBatchNorm1d, ExampleWeighedBatchNorm2d, ExampleWeighedBatchNorm3d
from .whitening import IterNorm1d, IterNorm2d, IterNorm3d, WhiteningNorm1d, WhiteningNorm2d, WhiteningNorm3d

__all__ = [
    "BatchRenorm1d",
    "BatchRenorm2d",
    "BatchRenorm3d",
    "DomainBatchNorm1d",
    "DomainBatchNorm2d",
    "DomainBatchNorm3d",
    "ExampleWeighedBatchNorm1d",
    "ExampleWeighedBatchNorm2d",
    "ExampleWeighedBatchNorm3d",
    "GhostBatchNorm1d",
    "GhostBatchNorm2d",
    "GhostBatchNorm3d",
    "IterNorm1d",
    "IterNorm2d",
    "IterNorm3d",
    "LpBatchNorm1d",
    "LpBatchNorm2d",
    "LpBatchNorm3d",
    "NoisyBatchNorm1d",
    "NoisyBatchNorm2d",
    "NoisyBatchNorm3d",
    "Ramp",
    "WhiteningNorm1d",
    "WhiteningNorm2d",
    "WhiteningNorm3d",
    "domain",
]
