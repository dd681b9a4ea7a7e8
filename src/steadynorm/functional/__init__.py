"""The equations of batch normalization: tensors in, tensors out, nothing stored.

Every function takes an input of shape (N, C, *S): N examples, C features (channels), and any number of further axes S
(positions), over which statistics are pooled as well. Statistics have shape (C,) and are float32 or wider whatever the
input. The letters are those of Ioffe & Szegedy 2015 (arXiv:1502.03167); the running statistics that a layer keeps are
states that go in and come out. All of it is plain differentiable torch: it runs on any device, under autograd,
``torch.compile`` and ``torch.func``.

=============================  ==============================================================
Eq 2, the transform            :func:`batch_norm`, of :func:`batch_moments` and :func:`normalize`
Eq 3, the identity             :func:`identity_affine`
Eq 4, the backward             :func:`batch_norm_backward`
Eq 5, population statistics    :func:`population_statistics` with one of three estimators
Eq 6, folding                  :func:`fold_affine`, :func:`fold_weights_after`, :func:`fold_weights_before`
=============================  ==============================================================

The other methods have a file each, as ``functional/ghost.py`` beside ``nn/ghost.py``. The public names of all files are
public here.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from .._renamed import old_modules, old_names

if TYPE_CHECKING:
    from .complex import *
    from .conditional import *
    from .conventions import *
    from .folding import *
    from .ghost import *
    from .lp import *
    from .moments import *
    from .noisy import *
    from .per_example import *
    from .population import *
    from .renorm import *
    from .running import *
    from .transform import *
    from .virtual import *
    from .weighted import *
    from .whitening import *

    def __getattr__(name: str) -> Any: ...

else:
    __all__ = []
    for _file in iter_modules(__path__):
        if not _file.name.startswith("_"):
            _module = import_module(f"{__name__}.{_file.name}")
            __all__.extend(_module.__all__)
            globals().update({name: getattr(_module, name) for name in _module.__all__})

    __getattr__ = old_names(__name__, {"example_weighed_norm": "example_weighted_norm"})
    old_modules(__name__, {"variants": "", "variants.noisy": "noisy", "variants.whitening": "whitening"})
