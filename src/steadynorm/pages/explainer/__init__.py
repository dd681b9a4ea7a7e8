"""Batch normalization explained, with figures to be touched: one self-contained page, or a figure in a notebook.

Python computes every number with this package's own functions and writes it into the page; the page's script maps
numbers to pixels.

==============  ==============================================================
``saturation``  a mini-batch drifting over a sigmoid, and batch norm fetching it back
``bias``        the bias that runs away when the gradient through the mean is left out
``affine``      normalize, then scale and shift, and undo it
``gradient``    how each example's gradient passes through the batch's mean and variance
``population``  a population's variance, estimated from batches in four ways
``folding``     a convolution and its batch norm melting into one
``scale``       weights stretched: the same output, a shorter gradient
``depth``       how gradients grow from layer to layer at initialization, beside the law
``rate``        the learning rate at which descent fails, on two losses
``ladder``      steps to a target accuracy, measured and as published
``landscape``   the loss along the gradient, by two measures
``batches``     accuracy against the examples normalized together, for every method
``train``       two networks trained as one watches, with and without batch norm
==============  ==============================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..._renamed import nearest
from ...errors import ArgumentError, MissingExtraError, installing
from .names import NAMES

if TYPE_CHECKING:
    from .frames import Figure

__all__ = ["NAMES", "article", "figure", "render"]


def render(
    claims: Mapping[str, Mapping[str, Any]],
    record: Mapping[str, Any] | None = None,
    report: Mapping[str, str] | None = None,
) -> str:
    """Return the page with all figures, one HTML document below 1 MB that opens offline.

    Args:
        claims: the records of the claims, by id, to which the page's statements are linked.
        record: the record of the ladder that the ladder's figure draws; None for those that come with the package.
        report: where a report of the reader's own run tells of a claim, by id.

    Raises: DataError when the record is of another claim; MissingExtraError when a library is not installed.
    """
    figures = [_build(name, record) for name in NAMES]

    from .page import page

    return page(figures, claims, report or {})


def article(claims: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the story of the page as Markdown, the text of ``docs/article.md``.

    Args:
        claims: as :func:`render` takes them.

    Raises: MissingExtraError when a library is not installed.
    """
    figures = [_build(name) for name in NAMES]

    from .document import document
    from .facts import all_facts

    return document(claims, all_facts(figures))


def figure(name: str) -> Figure:
    """Return one of the figures; a notebook shows it, with the same handles as the page.

    Args:
        name: one of :data:`NAMES`.

    Raises: ArgumentError for another name; MissingExtraError when the extra ``lab`` is not installed.
    """
    if name not in NAMES:
        known = ", ".join(map(repr, NAMES))
        raise ArgumentError(f"a figure must be one of {known}, received {name!r}{nearest(name, NAMES)}")
    return _build(name)


def _build(name: str, record: Mapping[str, Any] | None = None) -> Figure:
    try:
        build = import_module(f".{name}", __name__).build
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"figures need {error.name}, which is not installed; run: {installing('lab')}"
        ) from error
    figure: Figure = build(record) if name == "ladder" else build()
    return figure
