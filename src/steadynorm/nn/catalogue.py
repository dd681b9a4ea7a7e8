"""One row a method: what it is, where it comes from, what its layers promise. Tests and tables read it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch.nn import Module

from .. import functional
from . import batchnorm, frozen

__all__ = ["CATALOGUE", "Method"]


@dataclass(frozen=True)
class Method:
    """A way to normalize."""

    name: str
    """How it is called in tables and in :func:`convert_`."""
    summary: str
    """One line for a reader."""
    paper: str
    """Authors, year, title, arXiv number."""
    equation: str
    """Where in the paper."""
    function: Callable[..., Any]
    """Its formula in :mod:`steadynorm.functional`."""
    layers: Mapping[int, type[Module]]
    """Its layer for 1, 2 and 3 spatial dimensions; the first also takes input without any."""
    state: tuple[str, ...]
    """The keys of its state_dict, in order, with default arguments."""
    when: str
    """When to use it."""
    when_not: str
    """When not."""
    lazy_layers: Mapping[int, type[Module]] = field(default_factory=dict)
    """The same, for layers that learn their number of features from the first input."""
    by_batch: bool = True
    """Whether it normalizes by the batch's statistics in training, and so needs two values a feature."""
    exempt: Mapping[str, str] = field(default_factory=dict)
    """Contracts of ``tests/contracts`` that it cannot meet, and why: the name of a test, or an argument that the
    constructor refuses, as ``"track_running_stats=False"``."""


CATALOGUE: tuple[Method, ...] = (
    Method(
        name="batch",
        summary="Normalize each feature with the mini-batch's mean and variance, then scale and shift.",
        paper="Ioffe & Szegedy 2015, Batch Normalization: Accelerating Deep Network Training by Reducing Internal "
        "Covariate Shift, arXiv:1502.03167",
        equation="Algorithm 1 (training), Algorithm 2 (inference)",
        function=functional.batch_norm,
        layers={1: batchnorm.BatchNorm1d, 2: batchnorm.BatchNorm2d, 3: batchnorm.BatchNorm3d},
        lazy_layers={1: batchnorm.LazyBatchNorm1d, 2: batchnorm.LazyBatchNorm2d, 3: batchnorm.LazyBatchNorm3d},
        state=("weight", "bias", "running_mean", "running_var", "num_batches_tracked"),
        when="Convolutional and dense networks trained on batches of 16 and more a device, drawn at random.",
        when_not="Batches of a few examples; batches that mix domains or are ordered; where an example's output must "
        "not depend on its companions.",
    ),
    Method(
        name="frozen",
        summary="Normalize with constant statistics, in training too: an affine map of each feature.",
        paper="Ioffe & Szegedy 2015, arXiv:1502.03167; in fine-tuning, He et al. 2016, arXiv:1512.03385",
        equation="Algorithm 2, line 11",
        function=functional.normalize,
        layers={1: frozen.FrozenBatchNorm1d, 2: frozen.FrozenBatchNorm2d, 3: frozen.FrozenBatchNorm3d},
        state=("weight", "bias", "running_mean", "running_var", "num_batches_tracked"),
        when="Fine-tuning a pretrained backbone on small batches, or on data that must not move its statistics.",
        when_not="Training from scratch: the statistics would stay at mean 0 and variance 1.",
        by_batch=False,
        exempt={
            "test_properties": "it keeps no count of batches; tests/nn/test_frozen.py has its own",
            "test_train_eval": "both modes are the same, which tests/nn/test_frozen.py checks",
            "track_running_stats=False": "constant statistics have to be somewhere",
        },
    ),
)
