"""How verdicts are formed, for every claim alike.

A claim is judged by its parts, each of which *holds*, *fails*, or stays open because the measurement does not tell:

* all hold: **confirmed**;
* some hold: **partly**;
* none holds and one fails: **refuted**;
* none holds and none fails: **not resolved**.

Where a *control* does not hold the parts mean nothing: **not resolved**.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

__all__ = ["Judgement", "Role", "Verdict", "combine", "judge"]

Verdict = Literal["confirmed", "partly", "refuted", "not resolved"]
Role = Literal["judged", "control", "shown"]


class Judgement(NamedTuple):
    """What came of a part, or of a control: it holds, fails (False), or stays open (None)."""

    role: Role
    holds: bool | None


def judge(judgements: Iterable[Judgement]) -> Verdict:
    """Return the verdict over parts and controls.

    >>> judge([Judgement("judged", True), Judgement("control", None)])
    'not resolved'
    """
    found = list(judgements)
    if not all(one.holds for one in found if one.role == "control"):
        return "not resolved"
    return combine([one.holds for one in found if one.role == "judged"])


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
