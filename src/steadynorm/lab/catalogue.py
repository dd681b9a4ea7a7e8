"""Every claim, found by its file; its last record; and what of the article no claim here settles.

A claim is a file ``claims/<theme>/<name>.py`` that makes a :class:`~steadynorm.lab.claim.Claim` named ``CLAIM``; a file
whose name begins with an underscore is a part of one.
"""

import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
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

#: Parts of the article whose claims need trained networks, or hours, and are not here yet.
WAITING: Mapping[str, str] = {
    "S12": "sigmoid networks over depth, each arm at its own rate and with the fair controls",
    "S13": "the largest stable rate of networks, each arm on its own grid",
    "S15": "ensembles and multi-crop, at the size of the ladder's network",
    "S16": "the chart of steps to a target: it is drawn from the ladder's record by `steadynorm explain`",
    "S17": "noise after batch norm, covariate shift by gradients, the landscape; Lp norms in networks that "
    "are not linear",
    "S18": "error against the batch's size, with its ways out",
}

#: Corrections that follow from reading the sources: there is nothing to measure.
BY_READING: Mapping[str, str] = {
    "E1": "The numbers come from the paper's Figure 3, a table inside of a figure; it has no Table 2. Of the "
    "article's curves only the anchors are the paper's.",
    "E8": "That sigmoids train with batch norm is not owed to unsaturated inputs alone: BN-x5-Sigmoid also has five "
    "times the rate, no dropout, less L2 and faster decay, in one run; the plain network's rate is not reported.",
    "E9": "Architecture and parameters are not the same along the ladder: local response norm and dropout go, γ and "
    "β come; the ensemble has six changed networks and 144 crops.",
    "E10": "The paper does not remove dropout at no loss: it says “without increasing overfitting” and “removed or "
    "reduced”, and some members of its ensemble keep 5 to 10 %.",
    "E11": "“Two weeks against a day” is arithmetic on the number of steps; the paper reports no time, and a step "
    "with batch norm takes longer.",
    "E13": "Gradients do not only sometimes explode: at initialization they grow with depth for every nonlinearity "
    "of Yang et al.; but after one step they even out, and residual networks differ.",
    "E14": "The noise of Santurkar et al. is moderate, and the next batch norm takes it out again: it tests the "
    "input of one nonlinearity, not lasting shift.",
    "E15": "Measures of the landscape depend on the weights' scale, which batch norm makes meaningless: they must be "
    "given relative to ‖w‖, too.",
    "E16": "“Batch 32” and “batch 2” of Wu & He are images a processor, on eight, with the rate scaled along.",
    "E17": "That transformers took layer norm because of the batch is plausible, and not shown; layer norm comes "
    "from recurrent networks and is older.",
}


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
    files = {id: _committed(claim) for id, claim in every_claim().items()}
    return {id: load_record(file) for id, file in files.items() if file.exists()}


def _committed(claim: Claim) -> Path:
    return results() / (f"claims/{claim.id}.json" if "/" in claim.id else f"{claim.id}/digits.json")


def last_records(runs: Path) -> dict[str, dict[str, Any]]:
    """Return the committed records, each replaced by that of the latest run below ``runs`` if there is one."""
    found = committed_records()
    latest = latest_run_directory(runs, RUNS)
    if latest is not None and (latest / "result.json").exists():
        found |= {record["claim"]: record for record in load_record(latest)["records"]}
    return found
