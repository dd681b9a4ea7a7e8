"""Evaluation by the batch's own statistics, with everything else in evaluation: test-time adaptation."""

from torch import nn

from .layers import Where
from .setting import Setting

__all__ = ["batch_statistics"]


def batch_statistics(model: nn.Module, *, where: Where | None = None) -> Setting:
    r"""Let batch norms in evaluation normalize by the batch at hand, and leave the running statistics alone.

    .. math:: y = \gamma\,\frac{x - \mu_B}{\sqrt{\sigma_B^2 + \epsilon}} + \beta

    It holds from the call on, until the end of a ``with`` block or ``remove()``::

        with sn.batch_statistics(model.eval()):
            y = model(x)

    Dropout, and whatever else tells training from evaluation, stays off. Layers in training work as ever: they move
    their running statistics. Frozen ones keep to theirs. Renormalization works as batch norm, noise is not drawn, and
    synchronized layers take the batch of their own process, as torch's do in evaluation.

    Reference: Nado et al. 2020, *Evaluating Prediction-Time Batch Normalization* (arXiv:2006.10963); with γ and β
    trained by the entropy of the predictions, Wang et al. 2021, *Tent* (arXiv:2006.10726).

    Args:
        model: any model; the layer itself, too. Layers of torch have our class for as long as it holds; compiled models
            are traced again.
        where: ``where(name, module) -> bool`` selects layers, or a pattern such as ``"backbone.*"``, or several.

    Returns: the setting, with ``report`` (which layers, and why not the others) and ``remove()``.

    Raises: ArgumentError if it is no module; when the model runs, ShapeError for one value a feature.
    """
    return Setting(model, "_by_batch", where)
