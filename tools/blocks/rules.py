"""docs/doctor.md: a section a rule, from the docstrings of the rules."""

import re

from steadynorm.doctor import distance
from steadynorm.doctor.rule import all_rules

NEEDED = {
    "evidence": "batches",
    "step": "batches, on which the model trains a step",
    "biases": "batches that the model takes without `forward=`",
    "optimizer": "`optimizer=`",
    "reference": "`reference=`",
    "process_group": "`process_group=`",
}


def page() -> str:
    """Return the text of the page."""
    rules = all_rules()
    lines = [
        "# What the doctor looks for",
        "Written by `make docs-text` from the files in `src/steadynorm/doctor/rules/`. How to call it: "
        "[tools/diagnose.md](tools/diagnose.md).",
        "\n".join(f"- [{id}](#{id}): {rule.title}" for id, rule in rules.items()),
        f"## d\n\n{prose(distance.__doc__ or '')}",
    ]
    for id, rule in rules.items():
        needs = ", ".join(NEEDED[part] for part in rule.needs) or "the model alone"
        lines += [f"## {id}", prose(rule.doc), f"Needs {needs}."]
        if rule.supersedes:
            lines[-1] += f" Takes the place of {', '.join(rule.supersedes)} in the same layer."
    return "\n\n".join(lines) + "\n"


def prose(text: str) -> str:
    """Turn the roles of a docstring into what Markdown has."""
    text = re.sub(r"\(?:mod:`steadynorm\.doctor\.distance`\)?", "[d](#d)", text.strip())
    text = re.sub(r":\w+:`steadynorm\.([\w.]+)`", r"`sn.\1`", text)
    return re.sub(r"\.\. math::((?:.+\n?)+)", lambda found: f"$${' '.join(found[1].split())}$$\n", text)
