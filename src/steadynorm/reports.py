"""What tools return: plain data that prints itself.

A :class:`Report` is a title, named columns, rows of plain values, and notes. It knows nothing of tensors or models, so
that it pickles, compares, and becomes JSON; it shows as a text table in a terminal, as HTML in a notebook, and as a
table of ``rich``.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Cell", "Report", "format_cell"]

Cell = str | int | float | bool | None


def format_cell(value: Cell) -> str:
    """Write one value as a person reads it: four significant digits, ``-`` for nothing.

    >>> [format_cell(v) for v in (0.123456, 12, None, True, "relu")]
    ['0.1235', '12', '-', 'yes', 'relu']
    """
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Report:
    """A titled table of plain values, with notes.

    Args:
        title: one line that says what was done.
        columns: the names of the columns, in order.
        rows: a mapping a row, from column to value; a column may be absent, which prints as ``-``.
        notes: sentences below the table: what was skipped as a whole, what the reader must know.

    >>> print(Report("two layers", ("layer", "eps"), ({"layer": "bn1", "eps": 1e-5}, {"layer": "bn2"})))
    two layers
    layer    eps
    bn1    1e-05
    bn2        -
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Mapping[str, Cell]]
    notes: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        unknown = {name for row in self.rows for name in row} - set(self.columns)
        if unknown:
            raise ValueError(
                f"rows must use the report's columns {tuple(self.columns)}, received also {sorted(unknown)}"
            )

    def __iter__(self) -> Iterator[Mapping[str, Cell]]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def to_dict(self) -> dict[str, object]:
        """Return the same content as plain dictionaries and lists, ready for :mod:`json`."""
        return {
            "title": self.title,
            "columns": list(self.columns),
            "rows": [dict(row) for row in self.rows],
            "notes": list(self.notes),
        }

    def to_markdown(self) -> str:
        """Return the rows as a Markdown table; title and notes are for the caller to place.

        >>> print(Report("layers", ("layer", "eps"), ({"layer": "bn1", "eps": 1e-5}, {"layer": "bn2"})).to_markdown())
        | layer | eps |
        | --- | ---: |
        | bn1 | 1e-05 |
        | bn2 | - |
        """
        rules = ["---:" if self._is_numeric(name) else "---" for name in self.columns]
        escaped = [[cell.replace("|", r"\|") for cell in cells] for cells in self._cells()]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in (self.columns, rules, *escaped))

    def _cells(self) -> list[list[str]]:
        return [[format_cell(row.get(name)) for name in self.columns] for row in self.rows]

    def _is_numeric(self, name: str) -> bool:
        values = [row[name] for row in self.rows if row.get(name) is not None]
        return bool(values) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)

    def __str__(self) -> str:
        lines = [self.title]
        if self.rows:
            table = [list(self.columns), *self._cells()]
            widths = [max(map(len, column)) for column in zip(*table, strict=True)]
            right = [self._is_numeric(name) for name in self.columns]
            for line in table:
                cells = zip(line, widths, right, strict=True)
                lines.append("  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in cells).rstrip())
        return "\n".join([*lines, *self.notes])

    def _repr_html_(self) -> str:
        def row(tag: str, cells: Sequence[str]) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"

        body = "".join(row("td", cells) for cells in self._cells())
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        caption = f"<caption>{html.escape(self.title)}</caption>"
        return f"<table>{caption}<thead>{row('th', list(self.columns))}</thead><tbody>{body}</tbody></table>{notes}"

    def __rich__(self) -> Table:
        from rich.table import Table  # only rich calls this, so it is there
        from rich.text import Text  # cells are shown as they are: names may hold what rich takes for markup

        table = Table(title=Text(self.title), caption=Text("\n".join(self.notes)) if self.notes else None)
        for name in self.columns:
            table.add_column(name, justify="right" if self._is_numeric(name) else "left")
        for cells in self._cells():
            table.add_row(*map(Text, cells))
        return table
