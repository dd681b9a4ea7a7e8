"""The values that four normalizations take together, on the box of examples, features and positions."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup

__all__ = ["METHODS", "cube", "members"]

N, C, P = 3, 6, 4  # examples, features (two groups of three), positions
METHODS = ("batch norm", "layer norm", "instance norm", "group norm")
_CELL, _DEPTH = 19.0, (11.0, -7.0)  # pixels: one step right or down, one step back

Cell = tuple[int, int, int]


def members(method: str) -> set[Cell]:
    """The cells (example, feature, position) that share their mean and variance with the first cell.

    Batch norm keeps the feature, layer norm the example, instance norm both, group norm the example and half of the
    features.
    """
    same: dict[str, Callable[[int, int], bool]] = {
        "batch norm": lambda n, c: c == 0,
        "layer norm": lambda n, c: n == 0,
        "instance norm": lambda n, c: n == 0 and c == 0,
        "group norm": lambda n, c: n == 0 and c < C // 2,
    }
    return {(n, c, p) for n in range(N) for c in range(C) for p in range(P) if same[method](n, c)}


def cube(method: str) -> Markup:
    """Draw the box with the members of the first cell's set in colour: the faces in front, on top and on the right."""
    chosen = members(method)
    paths: dict[bool, list[str]] = {True: [], False: []}
    for n in range(N):
        for c in range(C):
            for p in range(P):
                for face in _faces(n, c, p):
                    paths[(n, c, p) in chosen].append(face)
    width, height = C * _CELL + N * _DEPTH[0] + 2, P * _CELL - N * _DEPTH[1] + 2
    return Markup(
        f'<svg viewBox="-1 -1 {width:g} {height:g}" width="{width:g}" height="{height:g}" aria-hidden="true">'
        f'<path class="other" d="{"".join(paths[False])}"/><path class="member" d="{"".join(paths[True])}"/></svg>'
    )


def _faces(n: int, c: int, p: int) -> list[str]:
    """The faces of a cell that can be seen."""

    def at(dn: int, dc: int, dp: int) -> str:
        x = (c + dc) * _CELL + (n + dn) * _DEPTH[0]
        y = (p + dp) * _CELL + (n + dn - N) * _DEPTH[1]
        return f"{x:g} {y:g}"

    def face(*corners: tuple[int, int, int]) -> str:
        return "M" + "L".join(at(*corner) for corner in corners) + "z"

    faces = []
    if n == 0:
        faces.append(face((0, 0, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1)))
    if p == 0:
        faces.append(face((0, 0, 0), (0, 1, 0), (1, 1, 0), (1, 0, 0)))
    if c == C - 1:
        faces.append(face((0, 1, 0), (1, 1, 0), (1, 1, 1), (0, 1, 1)))
    return faces
