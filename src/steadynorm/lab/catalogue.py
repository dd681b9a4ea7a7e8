"""Every claim, found by its file; its last record; and what of the article no claim here settles.

A claim is a file ``claims/<theme>/<name>.py`` that makes a :class:`~steadynorm.lab.claim.Claim` named ``CLAIM``; a file
whose name begins with an underscore is a part of one.
"""

import tomllib
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from ..errors import ArgumentError, DataError
from ..files import results
from . import claims
from .claim import Claim
from .records import Record, load_record
from .runs.directory import latest_run_directory
from .upgrade import RENAMED

__all__ = ["BY_READING", "RUNS", "WAITING", "choose", "claim_of", "committed_records", "every_claim", "last_records"]

RUNS = "claims"  # name of the run directories

_UNMEASURED = tomllib.loads(files(claims).joinpath("unmeasured.toml").read_text(encoding="utf-8"))
#: Parts of the article whose claims need trained networks, or hours, and are not here yet.
WAITING: Mapping[str, str] = _UNMEASURED["waiting"]
#: Corrections that follow from reading the sources: there is nothing to measure.
BY_READING: Mapping[str, str] = _UNMEASURED["by_reading"]


@cache
def every_claim() -> Mapping[str, Claim]:
    """Return the claims by id, in the order that each states."""
    found: list[Claim] = []
    for theme in iter_modules(claims.__path__, f"{claims.__name__}."):
        for module in iter_modules(import_module(theme.name).__path__, f"{theme.name}."):
            if not module.name.rpartition(".")[2].startswith("_"):
                found.append(import_module(module.name).CLAIM)
    return {claim.id: claim for claim in sorted(found, key=lambda claim: claim.order)}


def choose(words: Sequence[str]) -> list[Claim]:
    """Return the claims that are meant, in their order; a theme's name means all of its claims.

    Raises: ArgumentError for a word that is neither.
    """
    known = every_claim()
    themes = {claim.theme for claim in known.values()}
    for old in set(words) & set(RENAMED):
        warnings.warn(f"the claim {old} is called {RENAMED[old]} now; use that", DeprecationWarning, stacklevel=2)
    meant = {RENAMED.get(word, word) for word in words}
    unknown = [word for word in words if RENAMED.get(word, word) not in (*known, *themes)]
    if unknown:
        raise ArgumentError(
            f"a claim must be one of those that `steadynorm claims` lists, or a theme ({', '.join(sorted(themes))}), "
            f"received {', '.join(unknown)}"
        )
    return [claim for claim in known.values() if claim.id in meant or claim.theme in meant]


def claim_of(record: Record) -> Claim:
    """Return the claim that a record is of.

    Raises: DataError when there is none.
    """
    claim = every_claim().get(record["claim"])
    if claim is None:
        raise DataError(
            f"a record must be of a claim that `steadynorm claims` lists, received one of {record['claim']!r}; "
            "read it with the version that made it"
        )
    return claim


def committed_records() -> dict[str, dict[str, Any]]:
    """Read the records that come with the package, by claim; of the ladder that of the digits."""
    found = {id: _committed(claim) for id, claim in every_claim().items()}
    return {id: load_record(file) for id, file in found.items() if file.exists()}


def _committed(claim: Claim) -> Path:
    return results() / (f"claims/{claim.id}.json" if "/" in claim.id else f"{claim.id}/digits.json")


def last_records(runs: Path) -> dict[str, dict[str, Any]]:
    """Return the committed records, each replaced by that of the latest run below ``runs`` if there is one."""
    found = committed_records()
    latest = latest_run_directory(runs, RUNS)
    if latest is not None and (latest / "result.json").exists():
        found |= {record["claim"]: record for record in load_record(latest)["records"]}
    return found
