"""Grids of rates: which is taken, and which is left standing; verdicts of records whose rates are not settled."""

import pytest

from madeup_claims import claim_of, record_of
from steadynorm.lab.claim import Part
from steadynorm.lab.records import validate
from steadynorm.lab.runs.grids import RATES, best, beyond, chosen, marked, unsettled

SIZE = Part("size", at_least=1.0)


def rows(arm, scores, at):
    """Return an arm's rows at rates 1, 2, 4, …, each of a single seed unless given as a list."""
    return [
        {"arm": arm, "rate": 2.0**i, "scores": score if isinstance(score, list) else [score], "chosen": i == at}
        for i, score in enumerate(scores)
    ]


@pytest.mark.parametrize(
    ("grid", "flaw"),
    [
        (rows("a", [3.0, 1.0, 2.0], 1), None),
        (rows("a", [3.0, 1.0, 1.0], 1), None),  # a tie is no defeat
        (rows("a", [3.0, 1.0, 0.5], 1), "a at 2 is beaten by its neighbour 4"),
        (rows("a", [0.5, 1.0, 2.0], 1), "a at 2 is beaten by its neighbour 1"),
        (rows("a", [1.0, 2.0], 0), "a at 1 has no neighbour on one side"),
        (rows("a", [3.0, 2.0, 1.0], 2), "a at 4 has no neighbour on one side"),
        (rows("a", [None, 1.0, [0.1, None]], 1), None),  # what diverged with one seed is no better
        (rows("a", [2.0, None, 3.0], 1), "a at 2 is beaten by its neighbour 1; a at 2 is beaten by its neighbour 4"),
        (rows("a", [3.0, 1.0, 2.0], 1) + rows("b", [7.0], 0), None),  # a single rate is meant
        (rows("a", [3.0, 1.0, 2.0], 1) + rows("b", [3.0, 1.0, 0.0], 1), "b at 2 is beaten by its neighbour 4"),
        (rows("a", [0.0, 3.0, 1.0, 2.0], 2), None),  # not a neighbour: the full grid has decided that
    ],
)
def test_a_rate_must_be_better_than_both_neighbours(grid, flaw):
    assert unsettled(grid) == flaw
    record = record_of((SIZE, [2.0, 3.0]), grid=grid)
    validate(record)
    assert claim_of(SIZE).verdict(record) == record["verdict"] == ("confirmed" if flaw is None else "not resolved")
    assert (flaw or "Size") in record["reading"]


def test_the_table_names_the_rates():
    grid = rows("a", [3.0, 1.0, 2.0], 1) + rows("b", [7.0], 0)
    record = record_of((SIZE, [2.0]), grid=grid, settings={"draws": 1, "steps": 5000, "grid_steps": 100})
    assert chosen(grid) == {"a": 2.0, "b": 1.0}
    assert (
        "5,000 steps; rates: a 2, b 1, each beside its neighbours after 100 steps."
        in claim_of(SIZE).table(record).notes
    )


def test_what_diverged_is_taken_only_where_all_did():
    made = rows("a", [0.5, 0.2, None], 0)
    assert best(made)["rate"] == 2.0
    ended = [{**row, "outcome": "diverged at step 7"} for row in made[:2]]
    assert best([*ended, rows("a", [0.9], 0)[0]])["scores"] == [0.9]
    assert best(ended)["rate"] == 2.0


def test_each_arm_takes_its_best_or_what_is_given():
    grid = rows("a", [3.0, 1.0, 2.0], 0) + rows("b", [1.0, 1.0], 1)
    assert chosen(marked(grid)) == {"a": 2.0, "b": 1.0}  # of equal ones the lowest
    assert chosen(marked(grid, {"a": 4.0, "b": 2.0})) == {"a": 4.0, "b": 2.0}


def test_initializations_are_grids_of_their_own():
    grid = [
        {**row, "initialization": how, "chosen": how == "he" and row["rate"] == 2.0}
        for how, scores in (("glorot", [0.0, 1.0, 0.5]), ("he", [3.0, 1.0, 2.0]))
        for row in rows("a", scores, 0)
    ]
    assert unsettled(grid) is None
    assert unsettled(marked(grid)) == "a at 1 has no neighbour on one side"


def test_beyond():
    assert beyond(0.1, (0.01, 0.03, 0.1)) == 0.3
    assert beyond(0.01, (0.01, 0.03, 0.1)) == 0.003
    assert beyond(RATES[0], RATES) is None
    assert beyond(RATES[-1], RATES) is None
