"""The layers: drop-ins for ``torch.nn``, with the same constructors, attributes, state_dict keys and errors.

The public names are those of the files that the rows of :data:`steadynorm.nn.catalogue.CATALOGUE` are about.
"""

from typing import TYPE_CHECKING

from .._renamed import old_modules, old_names
from . import per_example
from .arguments import quote_base
from .catalogue import *
from .catalogue import layer_names
from .finishing import ACTIVATIONS as ACTIVATIONS
from .masking import mask as mask
from .per_example import *
from .weighted import OLD_NAMES

if not TYPE_CHECKING:
    __all__ = ["ACTIVATIONS", "mask", *per_example.__all__, *layer_names()]
    for _name in __all__:
        if isinstance(globals()[_name], type):
            quote_base(globals()[_name])
    __getattr__ = old_names(__name__, OLD_NAMES)
    _MOVED = {f"variants.{name}": name for name in ("domain", "ghost", "lp", "noisy", "renorm", "whitening")}
    _MOVED |= {"variants": "", "variants.weighing": "weighted"}
    old_modules(__name__, _MOVED | {"synchronization": "sync", "synchronization.layer": "sync"})
