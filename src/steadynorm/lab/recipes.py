"""Recipes by name for ``steadynorm train``: the paper's arms at full size on ImageNet, and the same made small.

Whatever Ioffe & Szegedy 2015 state is taken: the network, the batch of 32, the learning rates and their multiples, the
seven accelerations. The paper gives no values for momentum, L2, dropout, the decay of the rate and the strength of
distortions; those are *ours*, and :data:`SOURCES` says of each where it comes from. Momentum, dropout and decay are
those of the original Inception (Szegedy et al. 2015, "Going Deeper with Convolutions"): 0.9; 40 %; 4 % less every eight
epochs, which is here the exponential with the same halving time.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from ..errors import ArgumentError
from .claims.ladder._arms import ARMS, PAPER
from .network import Initialization, NetworkOptions
from .runs.recipe import Recipe
from .table import Reading, Stem, stem_for

__all__ = ["RECIPES", "SOURCES", "TrainRecipe", "find", "settings"]

IMAGENET_TRAIN = 1_281_167  # images
#: Steps of 32 images in which "4 % less every eight epochs" halves the rate: 5.4 million.
HALVING_STEPS = math.log(0.5) / math.log(0.96) * 8 * IMAGENET_TRAIN / 32


@dataclass(frozen=True)
class TrainRecipe:
    """A run at full size: an arm, its network and its length.

    Args:
        name: by which it is asked for.
        recipe: the arm.
        learning_rate: the initial one, the arm's factor included.
        steps: optimizer steps.
        classes: of the network; None: as many as the data have.
        size: pixels a side of what the network sees.
        width: of the network.
        stem: None: the one for the size.
        table: the reading of the paper's table.
        initialization: of the convolutions' weights.
    """

    name: str
    recipe: Recipe
    learning_rate: float
    steps: int
    classes: int | None = 1000
    size: int = 224
    width: Fraction = Fraction(1)
    stem: Stem | None = None
    table: Reading = "literal"
    initialization: Initialization = "he"

    def network(self, classes: int | None = None) -> NetworkOptions:
        """Return the options of its network, for so many classes where the recipe does not say."""
        return NetworkOptions(
            classes=self.classes or classes or 2,
            stem=self.stem or stem_for(self.size),
            table=self.table,
            width=self.width,
            batch_norm=self.recipe.batch_norm,
            local_response_norm=self.recipe.local_response_norm,
            dropout=self.recipe.dropout,
            activation=self.recipe.activation,
            initialization=self.initialization,
        )


def _imagenet(arm: str, steps: float) -> TrainRecipe:
    rate = PAPER[arm].learning_rate
    assert rate is not None
    recipe = ARMS[arm]
    faster = recipe.halvings / ARMS["Inception"].halvings  # the paper's "6 times faster", where the arm has it
    recipe = replace(recipe, halvings=faster * steps / HALVING_STEPS)
    return TrainRecipe(f"imagenet/{arm.lower()}", recipe, rate, int(steps))


#: As long as the paper's runs: the baseline until its best; BN-x30 was at its best after about 6 million steps.
_FULL_SIZE = (
    _imagenet("Inception", 31.0e6),
    _imagenet("BN-Baseline", 31.0e6),
    _imagenet("BN-x5", 6.0e6),
    _imagenet("BN-x30", 6.0e6),
    _imagenet("BN-x5-Sigmoid", 6.0e6),
)
#: The ladder's size: 1/8 of the width, 32 pixels, its rates.
_SMALL = tuple(
    TrainRecipe(
        f"small/{arm.lower()}",
        recipe,
        learning_rate=0.01 * recipe.rate_multiplier,
        steps=10_000,
        classes=None,
        size=32,
        width=Fraction(1, 8),
    )
    for arm, recipe in ARMS.items()
)

RECIPES: Mapping[str, TrainRecipe] = {recipe.name: recipe for recipe in (*_FULL_SIZE, *_SMALL)}

#: Of each setting of the full-size recipes, where its value comes from.
SOURCES: Mapping[str, str] = {
    "network": "the paper's Figure 5",
    "batch size": "the paper",
    "learning rate": "the paper: 0.0015, times 5 and times 30",
    "steps": "the paper's: Inception was at its best after 31.0 million, BN-x30 after about 6 million",
    "halving of the rate, steps": "ours, after Szegedy et al. 2015: 4 % less every 8 epochs; 6 times faster: the paper",
    "momentum": "ours, after Szegedy et al. 2015",
    "L2": "ours; divided by 5: the paper",
    "dropout": "ours, after Szegedy et al. 2015; removed: the paper",
    "local response norm": "ours, GoogLeNet's places and constants; removed: the paper",
    "shuffling": "the paper: shards only at first, then within shards too",
    "photometric distortion": "ours; reduced: the paper",
    "initialization": "ours; the paper gives none",
}


def find(name: str) -> TrainRecipe:
    """Return a recipe by its name.

    Raises: ArgumentError when there is none of that name.
    """
    if name not in RECIPES:
        raise ArgumentError(f"a recipe must be one of {', '.join(RECIPES)}, received {name!r}; choose one of them")
    return RECIPES[name]


def settings(chosen: TrainRecipe) -> dict[str, str]:
    """Return the values of the settings that :data:`SOURCES` names."""
    recipe = chosen.recipe
    return {
        "network": f"reading {chosen.table!r}, stem {chosen.network().stem!r}, width {chosen.width}",
        "batch size": str(recipe.batch_size),
        "learning rate": f"{chosen.learning_rate:g}",
        "steps": f"{chosen.steps:,}",
        "halving of the rate, steps": f"{chosen.steps / recipe.halvings:,.0f}" if recipe.halvings else "never",
        "momentum": f"{recipe.momentum:g}",
        "L2": f"{recipe.weight_decay:g}",
        "dropout": f"{recipe.dropout:g}",
        "local response norm": "yes" if recipe.local_response_norm else "no",
        "shuffling": "within shards too" if recipe.shuffling == "examples" else "shards only",
        "photometric distortion": f"{recipe.distortion:g}",
        "initialization": f"normal, {'2/fan_in' if chosen.initialization == 'he' else '2/(fan_in + fan_out)'}",
    }
