"""How verdicts are formed, for every claim alike.

A claim is judged by its parts, each of which *holds*, *fails*, or stays open because the measurement does not tell:

* all hold: **confirmed**;
* some hold: **partly**;
* none holds and one fails: **refuted**;
* none holds and none fails: **not resolved**.
"""

from collections.abc import Sequence
from typing import Literal

__all__ = ["Verdict", "combine"]

Verdict = Literal["confirmed", "partly", "refuted", "not resolved"]


def combine(parts: Sequence[bool | None]) -> Verdict:
    """Return the verdict over parts that hold (True), fail (False) or stay open (None).

    >>> combine([True, True]), combine([True, False]), combine([False, None]), combine([None])
    ('confirmed', 'partly', 'refuted', 'not resolved')
    """
    if parts and all(parts):
        return "confirmed"
    if any(parts):
        return "partly"
    return "refuted" if False in parts else "not resolved"
