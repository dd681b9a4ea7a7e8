"""Batch normalization in five figures to be touched: one self-contained page, or a figure at a time in a notebook.

Python computes every number with this package's own functions and writes it into the page; the page's script maps
numbers to pixels.

==============  ==============================================================
``saturation``  a mini-batch drifting over a sigmoid, and batch norm fetching it back
``bias``        the bias that runs away when the gradient through the mean is left out
``affine``      normalize, then scale and shift, and undo it
``rate``        the learning rate at which descent fails, on two losses
``ladder``      steps to a target accuracy, measured and as published
==============  ==============================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...errors import ArgumentError, MissingExtraError

if TYPE_CHECKING:
    from .frames import Figure

__all__ = ["NAMES", "figure", "render"]

NAMES = ("saturation", "bias", "affine", "rate", "ladder")


def render(claims: Mapping[str, Mapping[str, Any]], record: Mapping[str, Any] | None = None) -> str:
    """Return the page with all five figures, one HTML document below 600 KB that opens offline.

    Args:
        claims: the records of the claims, by id, to which the page's statements are linked.
        record: the record of the ladder that the fifth figure draws; None for the one that comes with the package.

    Raises: DataError when the record is of another claim; MissingExtraError when a library is not installed.
    """
    figures = {name: _build(name, record) for name in NAMES}

    from .filling import fill

    return fill("page.html", *NAMES, figures=figures, claims=claims)


def figure(name: str) -> Figure:
    """Return one of the five figures; a notebook shows it, with the same handles as the page.

    Args:
        name: "saturation", "bias", "affine", "rate" or "ladder".

    Raises: ArgumentError for another name; MissingExtraError when the extra ``lab`` is not installed.
    """
    if name not in NAMES:
        raise ArgumentError(f"a figure must be one of {', '.join(map(repr, NAMES))}, received {name!r}")
    return _build(name)


def _build(name: str, record: Mapping[str, Any] | None = None) -> Figure:
    try:
        from . import affine, bias, ladder, rate, saturation
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"figures need {error.name}, which is not installed; run: pip install 'steadynorm[lab]'"
        ) from error
    if name == "ladder":
        return ladder.build(ladder.committed_record() if record is None else record)
    builders = {"saturation": saturation.build, "bias": bias.build, "affine": affine.build, "rate": rate.build}
    return builders[name]()
