"""One row a method: what it is, where it comes from, what its layers promise. Tests and tables read it."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch.nn import Module

from .. import functional
from .batchnorm import *
from .complex import *
from .conditional import *
from .domain import *
from .frozen import *
from .ghost import *
from .lp import *
from .noisy import *
from .renorm import *
from .sync import *
from .virtual import *
from .weighted import *
from .whitening import *

BATCH_STATE = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Method:
    """What a method is: a function and its layers, where it comes from, and when to take it."""

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
    when: str
    """When to use it."""
    when_not: str
    """When not."""
    state: tuple[str, ...] = BATCH_STATE
    """The keys of its state_dict, in order, with default arguments."""
    lazy_layers: Mapping[int, type[Module]] = field(default_factory=dict)
    """The same, for layers that learn their number of features from the first input."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The constructor's words that have no default, with values for an example."""
    by_batch: bool = True
    """Whether it normalizes by the batch's statistics in training, and so needs two values a feature."""
    complex: bool = False
    """Whether its input is complex."""
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
        layers={1: BatchNorm1d, 2: BatchNorm2d, 3: BatchNorm3d},
        lazy_layers={1: LazyBatchNorm1d, 2: LazyBatchNorm2d, 3: LazyBatchNorm3d},
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
        layers={1: FrozenBatchNorm1d, 2: FrozenBatchNorm2d, 3: FrozenBatchNorm3d},
        when="Fine-tuning a pretrained backbone on small batches, or on data that must not move its statistics.",
        when_not="Training from scratch: the statistics would stay at mean 0 and variance 1.",
        by_batch=False,
        exempt={
            "test_properties": "it keeps no count of batches; tests/nn/test_frozen.py has its own",
            "test_train_eval": "both modes are the same, which tests/nn/test_frozen.py checks",
            "track_running_stats=False": "constant statistics have to be somewhere",
        },
    ),
    Method(
        name="sync",
        summary="Batch norm whose batch is the one of all processes together.",
        paper="Ioffe & Szegedy 2015, arXiv:1502.03167; across processes, Peng et al. 2018, MegDet, arXiv:1711.07240",
        equation="Algorithm 1, over the joined batch",
        function=functional.batch_norm,
        layers=dict.fromkeys((1, 2, 3), SyncBatchNorm),
        when="Data-parallel training with a few examples a process: detection, segmentation, large images.",
        when_not="Enough examples on every process: each layer costs two exchanges a step.",
    ),
    Method(
        name="ghost",
        summary="Batch norm over parts of the batch, each with its own statistics.",
        paper="Hoffer, Hubara & Soudry 2017, Train longer, generalize better, arXiv:1705.08741",
        equation="Algorithm 1",
        function=functional.ghost_batch_norm,
        layers={1: GhostBatchNorm1d, 2: GhostBatchNorm2d, 3: GhostBatchNorm3d},
        when="Large batches, where the noise of small ones is wanted back; to study small ones at a fixed size.",
        when_not="Batches that are small already.",
        options={"ghost_batch_size": 2},
    ),
    Method(
        name="renorm",
        summary="Batch norm whose training output is, within limits, that of evaluation.",
        paper="Ioffe 2017, Batch Renormalization, arXiv:1702.03275",
        equation="Algorithm 1",
        function=functional.batch_renorm,
        layers={1: BatchRenorm1d, 2: BatchRenorm2d, 3: BatchRenorm3d},
        when="Batches of 2 to 8 examples, or of dependent ones, in training long enough for a ramp.",
        when_not="Training of a few hundred steps: the running statistics that it leans on are not there yet.",
        exempt={
            "test_gradcheck": "r and d stop the gradient; tests/nn/test_renorm.py holds them",
            "track_running_stats=False": "r and d need running statistics",
        },
    ),
    Method(
        name="domain",
        summary="One batch norm for each of several domains, chosen by a with block.",
        paper="Chang et al. 2019, Domain-Specific Batch Normalization, arXiv:1906.03950",
        equation="Sec 3",
        function=functional.batch_norm,
        layers={1: DomainBatchNorm1d, 2: DomainBatchNorm2d, 3: DomainBatchNorm3d},
        state=tuple(f"domain_{d}.{k}" for d in ("one", "two") for k in BATCH_STATE),
        when="Source and target, clean and adversarial, real and generated: each batch from one of them.",
        when_not="The domain of an example is unknown when the model is used.",
        options={"domains": ("one", "two")},
        exempt={"test_compile": "the graph breaks at the switch; tests/nn/test_domain.py compiles it"},
    ),
    Method(
        name="complex",
        summary="Whiten the real and the imaginary part of a complex feature together.",
        paper="Trabelsi et al. 2018, Deep Complex Networks, arXiv:1705.09792",
        equation="Sec 3.5",
        function=functional.complex_batch_norm,
        layers={1: ComplexBatchNorm1d, 2: ComplexBatchNorm2d, 3: ComplexBatchNorm3d},
        state=("gamma", "beta", "running_mean", "num_batches_tracked", "running_cov"),
        when="Networks of complex features: spectra, radio, magnetic resonance.",
        when_not="Real features; and complex ones in which one part means something of its own.",
        complex=True,
        exempt={
            "test_properties": "it keeps a covariance; tests/functional/test_complex.py has its own",
            "test_residual_activation_and_mask": "activations work on each part; tests/nn/test_complex.py has its own",
        },
    ),
    Method(
        name="conditional",
        summary="Batch norm whose scale and shift are those of each example's class.",
        paper="de Vries et al. 2017, Modulating early visual processing by language, arXiv:1707.00683",
        equation="Conditional Batch Normalization",
        function=functional.conditional_batch_norm,
        layers={1: ConditionalBatchNorm1d, 2: ConditionalBatchNorm2d, 3: ConditionalBatchNorm3d},
        state=("class_weight", "class_bias", *BATCH_STATE[2:]),
        when="Generators that are told a class; one network for several styles or tasks.",
        when_not="Classes whose features have different statistics: give each its own, with domain batch norm.",
        options={"num_classes": 2},
        exempt={"test_compile": "the graph breaks at the classes; tests/nn/test_conditional.py compiles it"},
    ),
    Method(
        name="virtual",
        summary="Batch norm of each example with a fixed reference batch instead of its companions.",
        paper="Salimans et al. 2016, Improved Techniques for Training GANs, arXiv:1606.03498",
        equation="Sec 3.4",
        function=functional.virtual_batch_norm,
        layers={1: VirtualBatchNorm1d, 2: VirtualBatchNorm2d, 3: VirtualBatchNorm3d},
        when="Generators, and wherever an example's output must not depend on its companions in training either.",
        when_not="Where the second batch, which every step runs through the network, costs too much.",
        options={"reference_size": 2},
    ),
    Method(
        name="lp",
        summary="Batch norm that divides by an l1, l2 or largest-value norm.",
        paper="Santurkar et al. 2018, How Does Batch Normalization Help Optimization?, arXiv:1805.11604",
        equation="Sec 3.3",
        function=functional.lp_batch_norm,
        layers={1: LpBatchNorm1d, 2: LpBatchNorm2d, 3: LpBatchNorm3d},
        when="To study what the division is good for.",
        when_not="To train a model for use: nothing speaks for it over batch norm there.",
        options={"p": 1},
    ),
    Method(
        name="noisy",
        summary="Batch norm with a random shift and scale of every unit after it.",
        paper="Santurkar et al. 2018, How Does Batch Normalization Help Optimization?, arXiv:1805.11604",
        equation="Algorithm 1 of the appendix",
        function=functional.noisy_batch_norm,
        layers={1: NoisyBatchNorm1d, 2: NoisyBatchNorm2d, 3: NoisyBatchNorm3d},
        when="To study whether stable distributions are what batch norm is good for.",
        when_not="To train a model for use.",
    ),
    Method(
        name="whitening",
        summary="Decorrelate the features of a group with the batch's covariance (ZCA).",
        paper="Huang et al. 2018, Decorrelated Batch Normalization, arXiv:1804.08450",
        equation="Algorithm 1",
        function=functional.whitening_norm,
        layers={1: WhiteningNorm1d, 2: WhiteningNorm2d, 3: WhiteningNorm3d},
        state=("weight", "bias", "running_mean", "num_batches_tracked", "running_cov"),
        when="To study full whitening; small groups where features are strongly correlated.",
        when_not="Many features a group: cost grows with their cube, and a batch must hold more values than that.",
        exempt={"test_properties": "a bad feature takes its group with it; tests/nn/test_methods.py has its own"},
    ),
    Method(
        name="iternorm",
        summary="Approach whitening by a few Newton iterations.",
        paper="Huang et al. 2019, Iterative Normalization, arXiv:1904.03441",
        equation="Algorithm 1",
        function=functional.iter_norm,
        layers={1: IterNorm1d, 2: IterNorm2d, 3: IterNorm3d},
        state=("weight", "bias", "running_mean", "num_batches_tracked", "running_cov"),
        when="Whitening by matrix products alone; small batches whose small directions should stay small.",
        when_not="Where batch norm does: it costs a covariance a layer.",
        exempt={"test_properties": "a bad feature takes its group with it; tests/nn/test_methods.py has its own"},
    ),
    Method(
        name="weighted",
        summary="Batch norm whose inference gives each example's own statistics a share.",
        paper="Summers & Dinneen 2020, Four Things Everyone Should Know to Improve Batch Normalization, "
        "arXiv:1906.03548",
        equation="Inference Example Weighing",
        function=functional.example_weighted_norm,
        layers={1: ExampleWeightedBatchNorm1d, 2: ExampleWeightedBatchNorm2d, 3: ExampleWeightedBatchNorm3d},
        when="A network trained on small batches: choose the share on validation data, train nothing.",
        when_not="Where inference must be one affine map, to be folded; without positions (N, C).",
        options={"alpha": 0.1},
    ),
)


def layer_names() -> list[str]:
    """Return the public names of all files that have a row: the layers, and what goes with them."""
    files = dict.fromkeys(sys.modules[row.layers[1].__module__] for row in CATALOGUE)
    return [name for file in files for name in file.__all__]
