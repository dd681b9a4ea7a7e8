"""Every claim by its id, and what of the article and of its corrections no claim here settles."""

from collections.abc import Mapping

from . import bias, landscape, network, saturation, scale, statistics, trained, transform, whitening
from .base import Claim, Stated
from .training import Trained

__all__ = ["BY_READING", "CLAIMS", "DRAWN", "THEMES", "TRAINED", "WAITING"]

THEMES = (saturation, bias, transform, scale, statistics, whitening, landscape, network, trained)

#: By id, in the order of their themes. The ladder, whose arms share what they train, stands in :mod:`.catalogue`.
CLAIMS: Mapping[str, Stated] = {claim.id: claim for theme in THEMES for claim in theme.CLAIMS}
DRAWN: Mapping[str, Claim] = {id: claim for id, claim in CLAIMS.items() if isinstance(claim, Claim)}
TRAINED: Mapping[str, Trained] = {id: claim for id, claim in CLAIMS.items() if isinstance(claim, Trained)}

#: Parts of the article whose claims need trained networks, or hours, and are not here yet.
WAITING: Mapping[str, str] = {
    "S12": "sigmoid networks over depth, each arm at its own rate and with the fair controls",
    "S13": "the largest stable rate of networks, each arm on its own grid",
    "S15": "ensembles and multi-crop, at the size of the ladder's network",
    "S16": "the chart of steps to a target: it is drawn from the ladder's record by `steadynorm explain`",
    "S17": "noise after batch norm, covariate shift by gradients, the landscape; Lp norms in networks that "
    "are not linear",
    "S18": "error against the batch's size, with its ways out",
}

#: Corrections that follow from reading the sources: there is nothing to measure.
BY_READING: Mapping[str, str] = {
    "E1": "The numbers come from the paper's Figure 3, a table inside of a figure; it has no Table 2. Of the "
    "article's curves only the anchors are the paper's.",
    "E8": "That sigmoids train with batch norm is not owed to unsaturated inputs alone: BN-x5-Sigmoid also has five "
    "times the rate, no dropout, less L2 and faster decay, in one run; the plain network's rate is not reported.",
    "E9": "Architecture and parameters are not the same along the ladder: local response norm and dropout go, γ and "
    "β come; the ensemble has six changed networks and 144 crops.",
    "E10": "The paper does not remove dropout at no loss: it says “without increasing overfitting” and “removed or "
    "reduced”, and some members of its ensemble keep 5 to 10 %.",
    "E11": "“Two weeks against a day” is arithmetic on the number of steps; the paper reports no time, and a step "
    "with batch norm takes longer.",
    "E13": "Gradients do not only sometimes explode: at initialization they grow with depth for every nonlinearity "
    "of Yang et al.; but after one step they even out, and residual networks differ.",
    "E14": "The noise of Santurkar et al. is moderate, and the next batch norm takes it out again: it tests the "
    "input of one nonlinearity, not lasting shift.",
    "E15": "Measures of the landscape depend on the weights' scale, which batch norm makes meaningless: they must be "
    "given relative to ‖w‖, too.",
    "E16": "“Batch 32” and “batch 2” of Wu & He are images a processor, on eight, with the rate scaled along.",
    "E17": "That transformers took layer norm because of the batch is plausible, and not shown; layer norm comes "
    "from recurrent networks and is older.",
}
