"""Constructors that add arguments to those of their base; both, and what they mean, stand where ``help`` looks."""

from inspect import Parameter, cleandoc, signature
from typing import Any

__all__ = ["extend_signature", "quote_base"]


def extend_signature(cls: type, base: type | None = None) -> tuple[str, ...]:
    """Give ``__init__(self, *args, own, **others)`` of a class its base's signature and its own arguments.

    So the arguments of all layers stand once, and ``help`` shows them for each, but for those that are ``refused``.

    Args:
        cls: a class whose constructor may be of this form; another one is left alone.
        base: whose signature it is to take over; None: that of the constructor that it hides.

    Returns: the names of its own arguments.
    """
    constructor: Any = vars(cls).get("__init__")
    if constructor is None:
        return ()
    given = signature(constructor).parameters.values()
    own = [p for p in given if p.kind is Parameter.KEYWORD_ONLY]
    if any(p.kind is Parameter.VAR_KEYWORD for p in given):
        hidden: Any = getattr(super(cls, cls) if base is None else base, "__init__")  # noqa: B009
        left = {*getattr(cls, "refused", ()), *(p.name for p in own)}
        taken = [p for p in signature(hidden).parameters.values() if p.name not in left]
        constructor.__signature__ = signature(hidden).replace(parameters=[*taken, *own])
    return tuple(p.name for p in own)


def quote_base(cls: type) -> None:
    """Put the docstring of a base, with its equation and arguments, behind the line of a class that refers to it.

    In the source it stands once: "For (N, C, H, W) input; all else as in :class:`LpBatchNormBase`".
    """
    what, refers, name = (cls.__doc__ or "").partition("; all else as in :class:`")
    for base in cls.__mro__[1:]:
        if refers and name.startswith(f"{base.__name__}`") and base.__doc__:
            cls.__doc__ = f"{what}.\n\n{cleandoc(base.__doc__)}"
