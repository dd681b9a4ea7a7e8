r"""What each of many parts contributes to a difference that they make together: how much, and with whom.

A game: v(S) is what is measured when the parts in S are repaired; v(∅) as they are, v(all) with all of them repaired.
Of a group g of parts

.. math:: \mathrm{alone}(g) = v(\mathrm{all}) - v(\mathrm{all} \setminus g), \qquad
          \mathrm{repaired}(g) = v(g) - v(\emptyset)

are what g alone would cost, and what its repair alone would give. They are the same where the parts do not interact.

Groups for which both are small are left together; the others are halved, those that matter most first, down to single
parts. The share of a group is the mean of what its repair adds in two orders, from the first part to the last and back:
its Shapley value if parts interact in pairs at most. The shares add up to v(all) − v(∅) in any case.

Reference: Shapley 1953.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

__all__ = ["Attribution", "Interaction", "Share", "attribute"]

Group = tuple[int, ...]


@dataclass(frozen=True)
class Share:
    """What one group of parts contributes."""

    parts: Group
    share: float
    alone: float
    repaired: float


@dataclass(frozen=True)
class Interaction:
    """By how much two groups together differ from the sum of both, alone or repaired, whichever is more."""

    parts: tuple[Group, Group]
    excess: float
    of: str


@dataclass(frozen=True)
class Attribution:
    """Shares, the largest first; the parts that do not matter; who interacts."""

    shares: Sequence[Share]
    rest: Group
    rest_share: float
    interactions: Sequence[Interaction]
    measurements: int


def attribute(parts: int, value: Callable[[frozenset[int]], float], tolerance: float, most: int) -> Attribution:
    """Share v(all) − v(∅) out among parts.

    Args:
        parts: how many there are, numbered from 0 in an order in which neighbours belong together.
        value: v(S), deterministic.
        tolerance: what is small, in units of v.
        most: measure v at most so often, at least 6; groups are left whole where that is not enough.
    """
    game = _Game(parts, value, tolerance)
    groups = game.find(most)
    rest = tuple(sorted(set(range(parts)) - {part for group in groups for part in group}))
    players = sorted([*groups, *([rest] if rest else [])])
    added = dict.fromkeys(players, 0.0)
    for order in (players, players[::-1]):
        sets = [frozenset(part for player in order[:i] for part in player) for i in range(len(order) + 1)]
        for player, before, after in zip(order, sets[:-1], sets[1:], strict=True):
            added[player] += (game(after) - game(before)) / 2
    shares = [Share(group, added[group], game.alone(group), game.repaired(group)) for group in groups]
    shares.sort(key=lambda one: -abs(one.share))
    interactions = game.interactions(shares, most)
    return Attribution(shares, rest, added.get(rest, 0.0), interactions, len(game.known))


class _Game:
    """v, measured once for each set."""

    def __init__(self, parts: int, value: Callable[[frozenset[int]], float], tolerance: float) -> None:
        self.all = frozenset(range(parts))
        self.value = value
        self.tolerance = tolerance
        self.known: dict[frozenset[int], float] = {}

    def __call__(self, repaired: frozenset[int]) -> float:
        if repaired not in self.known:
            self.known[repaired] = self.value(repaired)
        return self.known[repaired]

    def alone(self, group: Group) -> float:
        return self(self.all) - self(self.all - set(group))

    def repaired(self, group: Group) -> float:
        return self(frozenset(group)) - self(frozenset())

    def effect(self, group: Group) -> float:
        return max(abs(self.alone(group)), abs(self.repaired(group)))

    def find(self, most: int) -> list[Group]:
        """Return the groups that matter, halved as far as the measurements reach."""
        whole: list[Group] = []
        groups = [tuple(sorted(self.all))] if self.all else []
        groups = [group for group in groups if self.effect(group) > self.tolerance]
        while groups:
            group = max(groups, key=self.effect)
            groups.remove(group)
            # Halving takes 4 measurements, and each group's share 2 in the end.
            enough = len(self.known) + 4 + 2 * (len(groups) + len(whole) + 3) <= most
            half = len(group) // 2
            halves = (group[:half], group[half:]) if half and enough else ()
            parts = [part for part in halves if self.effect(part) > self.tolerance]
            groups += parts
            if not parts:  # it is one part, or neither half matters without the other
                whole.append(group)
        return sorted(whole)

    def interactions(self, shares: Sequence[Share], most: int) -> list[Interaction]:
        """Compare pairs of those groups for which it matters whether the others are repaired."""
        depend = [one for one in shares if abs(one.alone - one.repaired) > self.tolerance]
        found = []
        for a, b in combinations(depend, 2):
            if len(self.known) + 2 > most:
                break
            both = tuple(sorted(a.parts + b.parts))
            excesses = {
                "alone": self.alone(both) - a.alone - b.alone,
                "repaired": self.repaired(both) - a.repaired - b.repaired,
            }
            of = max(excesses, key=lambda name: abs(excesses[name]))
            if abs(excesses[of]) > self.tolerance:
                found.append(Interaction((a.parts, b.parts), excesses[of], of))
        return sorted(found, key=lambda one: -abs(one.excess))
