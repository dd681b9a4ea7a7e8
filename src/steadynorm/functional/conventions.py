"""How frameworks keep running statistics, and the translation between them. The table is :data:`CONVENTIONS`."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import inf
from typing import Any

from ..errors import ArgumentError

__all__ = ["CONVENTIONS", "Convention", "convert_stats"]


@dataclass(frozen=True)
class Convention:
    """One framework's: what it calls things, which way momentum runs, which variance it stores."""

    mean: str
    var: str
    gamma: str
    beta: str
    eps: str
    """The word for ε."""
    default_eps: float
    default_momentum: float
    weighs_new: bool
    """Whether momentum is the weight of the new batch (torch), or of the average so far (all others)."""
    unbiased: bool
    """Whether the running variance averages σ²·n/(n−1), or σ²."""
    source: str
    """Where that is written."""


CONVENTIONS: Mapping[str, Convention] = {
    "torch": Convention(
        "running_mean", "running_var", "weight", "bias", "eps", 1e-5, 0.1, True, True, "torch.nn.BatchNorm2d"
    ),
    "keras": Convention(
        "moving_mean", "moving_variance", "gamma", "beta", "epsilon", 1e-3, 0.99, False, False,
        "Keras 3, keras.layers.BatchNormalization, whose moments are biased",
    ),
    "tensorflow": Convention(
        "moving_mean", "moving_variance", "gamma", "beta", "epsilon", 1e-3, 0.99, False, True,
        "the fused kernel, tf.keras' choice for images; its other kernels store the biased variance, as keras",
    ),
    "flax": Convention(
        "mean", "var", "scale", "bias", "epsilon", 1e-5, 0.99, False, False, "flax.linen.BatchNorm"
    ),
    "onnx": Convention(
        "input_mean", "input_var", "scale", "B", "epsilon", 1e-5, 0.9, False, False, "BatchNormalization, opset 15"
    ),
    "mxnet": Convention(
        "moving_mean", "moving_var", "gamma", "beta", "eps", 1e-3, 0.9, False, False,
        "the operator BatchNorm; with fix_gamma, its default, it takes γ for 1",
    ),
}  # fmt: skip


def convert_stats(stats: Mapping[str, Any], source: str, target: str, *, n: float | None = None) -> dict[str, Any]:
    r"""Translate the statistics and parameters of a batch norm from one framework's convention to another's.

    .. math:: a_{new} = 1 - a_{old}, \qquad \sigma^2_{unbiased} = \frac{n}{n-1}\,\sigma^2_{biased}

    Momentum and ε are always in the result, translated from the source's defaults if they are not given: the target's
    own defaults mean something else.

    Args:
        stats: arrays or tensors under the source's names (see :data:`CONVENTIONS`), any of mean, variance, γ and β; and
            numbers under ``momentum`` and the source's word for ε. From MXNet also ``fix_gamma``, without which γ has
            no meaning. torch's ``num_batches_tracked``, which nobody else has, is left out.
        source, target: ``"torch"``, ``"keras"``, ``"tensorflow"``, ``"flax"``, ``"onnx"`` or ``"mxnet"``.
        n: how many values of a feature a training batch held (examples × positions). Needed where one side stores the
            biased variance and the other the unbiased one: the result is then what the target would have averaged
            over the same batches, but for the share of the initial 1. ``float("inf")`` keeps the values, and with them
            the function that inference computes, exactly.

    Returns: the same under the target's names. Nothing is changed in place.

    Raises: ArgumentError for unknown names, for n where it is needed, for torch's ``momentum=None``, which other
    frameworks do not have.

    >>> convert_stats({"running_var": 2.0, "momentum": 0.1}, "torch", "keras", n=5)
    {'moving_variance': 1.6, 'momentum': 0.9, 'epsilon': 1e-05}
    """
    a, b = _convention(source), _convention(target)
    extra = {"mxnet": {"fix_gamma"}, "torch": {"num_batches_tracked"}}.get(source, set())
    unknown = stats.keys() - {a.mean, a.var, a.gamma, a.beta, a.eps, "momentum"} - extra
    if unknown:
        raise ArgumentError(
            f"{source} calls these otherwise: {sorted(unknown)}; its names are in CONVENTIONS[{source!r}]"
        )
    found = {
        getattr(b, role): stats[getattr(a, role)]
        for role in ("mean", "var", "gamma", "beta")
        if getattr(a, role) in stats
    }
    if b.var in found:
        found[b.var] = found[b.var] * _bessel(a, b, n)
    if source == "mxnet" and a.gamma in stats:
        if "fix_gamma" not in stats:
            raise ArgumentError("MXNet's γ needs fix_gamma: True, the operator's default, means that γ is taken for 1")
        found[b.gamma] = stats[a.gamma] * 0 + 1 if stats["fix_gamma"] else stats[a.gamma]
    if target == "mxnet":
        found["fix_gamma"] = False
    momentum = stats.get("momentum", a.default_momentum)
    if a.weighs_new != b.weighs_new:
        if momentum is None:
            raise ArgumentError(f"momentum must be a number: {target} cannot weigh all batches equally, received None")
        momentum = float(1 - Decimal(str(momentum)))  # 1 − 0.9 is 0.1, as people write it
    return found | {"momentum": momentum, b.eps: stats.get(a.eps, a.default_eps)}


def _convention(name: str) -> Convention:
    if name not in CONVENTIONS:
        raise ArgumentError(f"the framework must be one of {', '.join(CONVENTIONS)}, received {name!r}")
    return CONVENTIONS[name]


def _bessel(a: Convention, b: Convention, n: float | None) -> float:
    """Return what a's variance is multiplied with to be b's."""
    if a.unbiased == b.unbiased or n == inf:
        return 1.0
    if n is None or not n > 1:
        raise ArgumentError(
            "n must be the number of values of a feature in a training batch, above 1, since one side stores the "
            f"biased variance and the other the unbiased one; received {n}. Give n=float('inf') to keep the values"
        )
    return n / (n - 1) if b.unbiased else (n - 1) / n
