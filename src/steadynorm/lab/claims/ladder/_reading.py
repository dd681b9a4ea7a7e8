"""What a ladder's record says: its verdict, its reading in plain words, its table. Pure functions of the record.

The verdict was fixed before the runs that it judges. Three statements are judged, each *holds*, *fails* or stays open:

1. BN-Baseline reaches the target in fewer steps: the interval of its ratio lies above 1 (fails: below 1, or the target
   is not reached).
2. BN-x5 reaches the target in fewer steps: likewise.
3. Sigmoids train with batch norm only: in every seed Inception-Sigmoid stays near chance, at no more than twice chance,
   and BN-x5-Sigmoid comes more than half of the way from chance to the target (fails: Inception-Sigmoid comes as far in
   every seed, or BN-x5-Sigmoid stays near chance in every seed).

They make the verdict as :mod:`steadynorm.lab.claim.judging` says. The control is that the baseline leaves chance: there
is no target worth the name otherwise.
"""

from collections.abc import Sequence

from ....reports import Cell, Report
from ...claim.judging import Judgement
from ...records import Record
from ._arms import BASELINE, paper_ratio

__all__ = ["judgements", "measured", "reading", "table"]


def judgements(record: Record) -> list[Judgement]:
    """Return the control, and what became of the module's three statements."""
    return [
        Judgement("control", _baseline_learns(record)),
        Judgement("judged", _faster(record, "BN-Baseline")),
        Judgement("judged", _faster(record, "BN-x5")),
        Judgement("judged", _sigmoids_need_batch_norm(record)),
    ]


def measured(record: Record) -> str:
    """Name each arm and how many times faster it was, or what became of it."""
    told = (
        f"{arm['name']}: {arm['outcome'] if arm['ratio'] is None else format(arm['ratio'], '.3g') + ' times faster'}"
        for arm in record["arms"][1:]
    )
    return "; ".join(told)


def _arm(record: Record, name: str) -> Record:
    return next(arm for arm in record["arms"] if arm["name"] == name)


def _chance(record: Record) -> float:
    return 1 / int(record["data"]["classes"])


def _near_chance(record: Record, seed: Record) -> bool:
    best = seed["best_validation_accuracy"]
    return best is None or best <= 2 * _chance(record)


def _baseline_learns(record: Record) -> bool:
    return bool(record["target_accuracy"] > 2 * _chance(record))


def _faster(record: Record, name: str) -> bool | None:
    arm = _arm(record, name)
    if arm["ratio"] is None:
        return False
    if arm["ratio_interval"] is None:
        return None
    low, high = arm["ratio_interval"]
    return True if low > 1 else False if high < 1 else None


def _sigmoids_need_batch_norm(record: Record) -> bool | None:
    plain, normalized = _arm(record, "Inception-Sigmoid")["seeds"], _arm(record, "BN-x5-Sigmoid")["seeds"]

    def trains(seed: Record) -> bool:
        halfway = (_chance(record) + record["target_accuracy"]) / 2
        return not _near_chance(record, seed) and seed["best_validation_accuracy"] > halfway

    if all(_near_chance(record, seed) for seed in plain) and all(map(trains, normalized)):
        return True
    if all(map(trains, plain)) or all(_near_chance(record, seed) for seed in normalized):
        return False
    return None


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def reading(record: Record) -> str:
    """Say in plain words what a record shows and what it does not, in one paragraph computed from it alone."""
    baseline, settings = _arm(record, BASELINE.name), record["settings"]
    seeds = len(baseline["seeds"])
    sentences = [
        f"On {record['data']['name']}, {baseline['name']} without batch norm, at its own best rate "
        f"{baseline['learning_rate']:g} and from {settings['initialization'].capitalize()} weights, comes to "
        f"{_percent(baseline['best_validation_accuracy'])} validation accuracy within {settings['steps']} steps "
        f"({_seeds(seeds)}), and that is what the other arms have to reach."
    ]
    if not _baseline_learns(record):
        sentences.append("That is near chance, so it is no target, and nothing is resolved.")
        return " ".join([*sentences, f"Verdict: {record['verdict']}."])
    sentences += [
        _speed_sentence(record, arm)
        for arm in record["arms"]
        if arm["name"] != BASELINE.name and arm["recipe"]["activation"] == "relu"
    ]
    plain, normalized = _arm(record, "Inception-Sigmoid"), _arm(record, "BN-x5-Sigmoid")
    sentences.append(
        f"With sigmoids the network comes to {_percent(normalized['best_validation_accuracy'])} with batch norm and to "
        f"{_percent(plain['best_validation_accuracy'])} without, where chance is {_percent(_chance(record))}."
    )
    sentences += [_divergences(arm) for arm in record["arms"] if any(s["diverged_at"] for s in arm["seeds"])]
    sentences += _reservations(record)
    sentences.append(f"Verdict: {record['verdict']}.")
    return " ".join(sentences)


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"mean of {count} seeds"


def _speed_sentence(record: Record, arm: Record) -> str:
    reached = sum(seed["outcome"] == "reached" for seed in arm["seeds"])
    of = f"{reached} of {len(arm['seeds'])} seeds"
    best = _percent(arm["best_validation_accuracy"])
    if arm["ratio"] is None:
        return (
            f"{arm['name']} at {arm['learning_rate']:g} did not get there within {record['settings']['steps']} steps "
            f"({of} did by themselves); its best is {best}."
        )
    text = (
        f"{arm['name']} at {arm['learning_rate']:g} takes {arm['steps_to_target']:.0f} steps, ratio {arm['ratio']:.3g}"
    )
    if arm["ratio_interval"] is not None:
        low, high = arm["ratio_interval"]
        text += f" (95 % interval {low:.3g} to {high:.3g}"
        text += ", which does not exclude 1" if low <= 1 <= high else ""
        text += f"; {of} got there by themselves" if reached < len(arm["seeds"]) else ""
        text += ")"
    paper = paper_ratio(arm["name"])
    text += f"; the paper's is {paper:.1f}" if paper is not None else ""
    return f"{text}; its best is {best}."


def _divergences(arm: Record) -> str:
    steps = sorted(seed["diverged_at"] for seed in arm["seeds"] if seed["diverged_at"])
    first = f"at step {steps[0]}" if len(steps) == 1 else f"between steps {steps[0]} and {steps[-1]}"
    return f"{arm['name']} diverged in {len(steps)} of {len(arm['seeds'])} seeds, {first}."


def _reservations(record: Record) -> list[str]:
    settings, baseline = record["settings"], _arm(record, BASELINE.name)
    seeds, sentences = len(baseline["seeds"]), []
    if baseline["steps_to_target"] > 0.9 * settings["steps"]:
        sentences.append(
            "The baseline was still improving at its end: longer runs have another target and another ratio."
        )
    if settings["optimum"] == "at the edge":
        sentences.append("The baseline's best rate lies at the edge of its grid, so a better one may lie beyond.")
    if seeds == 1:
        sentences.append("One seed gives no interval.")
    elif seeds < 5:
        sentences.append(f"With {seeds} seeds an interval is little more than the range of what single seeds did.")
    return sentences


_COLUMNS = (
    "arm",
    "rate",
    "steps to target",
    "interval",
    "ratio",
    "ratio interval",
    "best validation %",
    "test %",
    "paper: rate",
    "paper: steps",
    "paper: ratio",
    "paper: best %",
)


def table(record: Record) -> Report:
    """Return the ladder's table: an arm a row, what was measured here beside what the paper reports of ImageNet."""
    data, settings = record["data"], record["settings"]
    return Report(
        f"Steps to the baseline's best validation accuracy ({100 * record['target_accuracy']:.1f} % on {data['name']})",
        _COLUMNS,
        [_row(arm) for arm in record["arms"]],
        [
            f"{data['note']}; {data['train']} train, {data['validation']} validation, {data['test']} test images; "
            f"{settings['steps']} steps, {len(record['arms'][0]['seeds'])} seeds, width {settings['width']}, "
            f"{settings['initialization'].capitalize()} weights.",
            "All figures are of the mean over the seeds. The paper's are of ImageNet, one run each.",
            record["reading"],
        ],
    )


def _row(arm: Record) -> dict[str, Cell]:
    paper = arm["paper"]
    return {
        "arm": arm["name"],
        "rate": arm["learning_rate"],
        "steps to target": arm["outcome"] if arm["steps_to_target"] is None else f"{arm['steps_to_target']:.0f}",
        "interval": _interval(arm["steps_to_target_interval"], "{:.0f}"),
        "ratio": arm["ratio"],
        "ratio interval": _interval(arm["ratio_interval"], "{:.2f}"),
        "best validation %": _rounded(arm["best_validation_accuracy"]),
        "test %": _rounded(arm["test_accuracy"]),
        "paper: rate": paper["learning_rate"],
        "paper: steps": None if paper["steps_to_target"] is None else f"{paper['steps_to_target'] / 1e6:.1f} M",
        "paper: ratio": None if (ratio := paper_ratio(arm["name"])) is None else round(ratio, 1),
        "paper: best %": _rounded(paper["best_accuracy"]),
    }


def _interval(ends: Sequence[float] | None, form: str) -> str | None:
    return None if ends is None else " – ".join(form.format(end) for end in ends)


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 1)
