"""What every claim has: a sentence of the literature, what is run to judge it, and the reading fixed beforehand."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from ...reports import Report
from ..records import SCHEMA, Record
from ..runs.options import Options
from ..runs.stages import Work
from .judging import Judgement, Verdict, judge

__all__ = ["Claim", "Plan", "Planned"]


class Planned(NamedTuple):
    """A stage of a claim before it is run: how many runs and steps, and about how many seconds of one thread here."""

    what: str
    runs: int
    steps: int
    seconds: float


class Plan(NamedTuple):
    """What a claim would do, with sentences for the reader."""

    stages: Sequence[Planned]
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Claim(ABC):
    """A claim; a file in ``lab/claims`` makes one, named ``CLAIM``.

    Args:
        id: the place of its file: ``theme/name``, or the theme alone where both are one word.
        order: where it stands in lists; the hundreds are those of its theme.
        statement: the sentence that is tested, in our words.
        source: who says so, and where.
        literature: the literature's number, or what it says in place of one.
        covers: the parts S… of the article and the corrections E… of the evidence that it settles.
        protocol: what is done and measured, and what is ours because the source does not say.
        instead: what is to be said in place of the sentence where it does not hold; ``{quantity}`` stands for the
            value measured.
    """

    kind: ClassVar[str]  # of its record

    id: str
    order: int
    statement: str
    source: str
    literature: str
    covers: tuple[str, ...]
    protocol: str
    instead: str | None = None

    @property
    def theme(self) -> str:
        """The folder of its file."""
        return self.id.partition("/")[0]

    @abstractmethod
    def settings(self, options: Options) -> dict[str, Any]:
        """Return what the options stand for: plain data, on which the numbers depend and nothing else does.

        Raises: ArgumentError, DataError and MissingExtraError for data that cannot be had.
        """

    @abstractmethod
    def plan(self, options: Options, committed: Record | None) -> Plan:
        """Say what :meth:`work` would do, by timing a little of it."""

    @abstractmethod
    def work(self, options: Options, committed: Record | None) -> Work:
        """Yield the stages of the work, and return what the record holds beside :meth:`record`'s own entries.

        Args:
            options: what the user chose.
            committed: the claim's record that comes with the package, if there is one.
        """

    def record(
        self, found: Mapping[str, Any], *, preset: str, created: str, environment: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the record of what was found, with verdict and reading."""
        record: dict[str, Any] = {
            "schema": SCHEMA,
            "kind": self.kind,
            "claim": self.id,
            "statement": self.statement,
            "source": self.source,
            "literature": self.literature,
            "covers": list(self.covers),
            "protocol": self.protocol,
            "instead": self.instead,
            "created": created,
            "preset": preset,
            "environment": dict(environment),
            **found,
        }
        record["verdict"] = self.verdict(record)
        record["reading"] = self.reading(record)
        return record

    # What follows from a record alone.

    def verdict(self, record: Record) -> Verdict:
        """Judge the claim by its record."""
        return judge(self.judgements(record))

    @abstractmethod
    def judgements(self, record: Record) -> Iterable[Judgement]:
        """Say of each part and control whether it holds."""

    @abstractmethod
    def reading(self, record: Record) -> str:
        """Say in plain words what was measured and what follows."""

    @abstractmethod
    def measured(self, record: Record) -> str:
        """Say in one line what was measured."""

    @abstractmethod
    def table(self, record: Record) -> Report:
        """Return the record's table, the literature's numbers beside ours."""
