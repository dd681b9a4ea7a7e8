"""What steadynorm raises.

::

    SteadyNormError
    ├── ArgumentError      ValueError     a value is outside its range
    ├── ShapeError         ValueError     a tensor has the wrong number of axes or sizes
    ├── ChannelError       RuntimeError   input and layer disagree on the number of features
    ├── DtypeError         TypeError      a tensor of this type cannot be used here
    ├── ModelError         RuntimeError   a model is not in the state that a tool needs
    │   ├── FoldError                     a folded model does not equal the original
    │   └── FuseError                     a fused model does not equal the original
    ├── SynchronizationError RuntimeError ranks disagree, or one of them is absent
    └── DataError          ValueError     data, a record or a file cannot be read as what it should be
        └── MissingExtraError ImportError an optional dependency is not installed

Each class is also the built-in that torch raises in the same place, so that code written for torch catches ours. Each
message says what must hold, what was received, and what to do.

``NothingDoneWarning`` is a ``UserWarning``: a tool ran, and changed nothing.
"""

__all__ = [
    "ArgumentError",
    "ChannelError",
    "DataError",
    "DtypeError",
    "FoldError",
    "FuseError",
    "MissingExtraError",
    "ModelError",
    "NothingDoneWarning",
    "ShapeError",
    "SteadyNormError",
    "SynchronizationError",
]


class SteadyNormError(Exception):
    """The root: ``except SteadyNormError`` catches all that steadynorm raises on purpose."""


class ArgumentError(SteadyNormError, ValueError):
    """A value is outside its range."""


class ShapeError(SteadyNormError, ValueError):
    """A tensor has the wrong number of axes, or the wrong sizes."""


class ChannelError(SteadyNormError, RuntimeError):
    """Input and layer disagree on the number of features."""


class DtypeError(SteadyNormError, TypeError):
    """A tensor of this type cannot be used here."""


class ModelError(SteadyNormError, RuntimeError):
    """A model is not in the state that a tool needs."""


class FoldError(ModelError):
    """A folded model does not equal the original within tolerance."""


class FuseError(ModelError):
    """A fused model does not equal the original within rounding."""


class SynchronizationError(SteadyNormError, RuntimeError):
    """Ranks disagree, or one of them is absent."""


class DataError(SteadyNormError, ValueError):
    """Data, a record or a file cannot be read as what it should be."""


class MissingExtraError(DataError, ImportError):
    """An optional dependency is not installed; the message gives the command that installs it."""


class NothingDoneWarning(UserWarning):
    """A tool changed not one layer of a model; its report says why for each."""


def installing(extra: str) -> str:
    """Return the command that installs an extra of this package, from the index or from a clone."""
    return f"pip install 'steadynorm[{extra}]', or in a clone pip install '.[{extra}]'"
