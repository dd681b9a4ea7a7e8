"""What the doctor says: findings, and the diagnosis that gathers them. Plain data, which prints itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ..reports import Cell, Report, format_cell

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["SEVERITIES", "Diagnosis", "Finding", "Severity"]

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""The worst first. An error makes results wrong, a warning may, a note is worth to know."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one layer."""

    layer: str
    severity: Severity
    numbers: Mapping[str, Cell]
    """What was measured, and what shows it."""
    cause: str
    fix: str
    """In one line; a call of ours where there is one."""
    rule: str = ""

    @property
    def evidence(self) -> str:
        """The numbers in one line."""
        return ", ".join(f"{name} {format_cell(value)}" for name, value in self.numbers.items())


@dataclass(frozen=True)
class Diagnosis:
    """All findings, the worst first; which rules ran, and which did not and why."""

    findings: Sequence[Finding]
    ran: Sequence[str]
    not_run: Mapping[str, str]
    notes: Sequence[str] = ()
    layers: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    """What was measured of each batch norm, for drawing: statistics of the data beside running ones."""

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def at_least(self, severity: Severity) -> list[Finding]:
        """Return the findings of this severity or worse."""
        return [one for one in self if SEVERITIES.index(one.severity) <= SEVERITIES.index(severity)]

    def to_dict(self) -> dict[str, Any]:
        """Return the same content as plain dictionaries and lists, ready for :mod:`json`."""
        return {
            "findings": [asdict(one) for one in self],
            "ran": list(self.ran),
            "not run": dict(self.not_run),
            "notes": list(self.notes),
        }

    @property
    def title(self) -> str:
        """How much was found, in a line."""
        counts = [(sum(one.severity == severity for one in self), severity) for severity in SEVERITIES]
        found = ", ".join(f"{n} {severity}{'s' * (n > 1)}" for n, severity in counts if n)
        return f"{found or 'no findings'}; {len(self.ran)} rules ran"

    @property
    def groups(self) -> list[list[Finding]]:
        """The findings that differ in layer and numbers alone, together."""
        together: dict[tuple[str, ...], list[Finding]] = {}
        for one in self:
            together.setdefault((one.rule, one.severity, one.cause, one.fix), []).append(one)
        return list(together.values())

    def report(self) -> Report:
        """Return a table, a row for each kind of finding."""
        rows: list[Mapping[str, Cell]] = [
            {
                "severity": first.severity,
                "rule": first.rule,
                "layer": _names(first, *others),
                "numbers": first.evidence,
                "cause": first.cause,
                "fix": first.fix,
            }
            for first, *others in self.groups
        ]
        return Report(self.title, ("severity", "rule", "layer", "numbers", "cause", "fix"), rows, self._notes())

    def _notes(self) -> list[str]:
        reasons: dict[str, list[str]] = {}
        for rule, why in self.not_run.items():
            reasons.setdefault(why, []).append(rule)
        return [*self.notes, *(f"not run: {', '.join(rules)} ({why})" for why, rules in reasons.items())]

    def __str__(self) -> str:
        lines = [self.title]
        for first, *others in self.groups:
            lines += ["", f"{first.severity}: {first.rule} in {_names(first, *others)}"]
            lines += [f"  {name:<8} {text}" for name, text in _body(first)]
        return "\n".join([*lines, "", *self._notes()]).rstrip()

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()

    def __rich__(self) -> Table:
        return self.report().__rich__()


def _names(first: Finding, *others: Finding) -> str:
    return first.layer + (f" (and {len(others)} more)" if others else "")


def _body(finding: Finding) -> list[tuple[str, str]]:
    rows = [("numbers", finding.evidence), ("cause", finding.cause), ("fix", finding.fix)]
    return [(name, text) for name, text in rows if text]
