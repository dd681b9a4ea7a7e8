import json
import pickle

import pytest
from rich.console import Console

from steadynorm.reports import Report, format_cell

REPORT = Report(
    "three layers",
    ("layer", "change", "drift", "frozen"),
    (
        {"layer": "conv.bn", "change": "recalibrated", "drift": 0.123456, "frozen": False},
        {"layer": "head", "change": "kept <frozen>", "frozen": True},
        {"layer": "bn[2]", "drift": 12.0},
    ),
    ("one layer was skipped", "and [bold]another"),
)


def test_text():
    assert str(REPORT) == (
        "three layers\n"
        "layer    change          drift  frozen\n"
        "conv.bn  recalibrated   0.1235  no\n"
        "head     kept <frozen>       -  yes\n"
        "bn[2]    -                  12  -\n"
        "one layer was skipped\n"
        "and [bold]another"
    )


def test_a_report_without_rows():
    assert str(Report("nothing to do", ("layer",), (), ("no batch norm was found",))) == (
        "nothing to do\nno batch norm was found"
    )


def test_plain_data():
    assert json.loads(json.dumps(REPORT.to_dict()))["rows"][1] == {
        "layer": "head",
        "change": "kept <frozen>",
        "frozen": True,
    }
    assert pickle.loads(pickle.dumps(REPORT)) == REPORT
    assert [row["layer"] for row in REPORT] == ["conv.bn", "head", "bn[2]"]
    assert len(REPORT) == 3


def test_html_is_escaped():
    shown = REPORT._repr_html_()
    assert "<td>kept &lt;frozen&gt;</td>" in shown
    assert "<caption>three layers</caption>" in shown
    assert shown.count("<tr>") == 4


def test_rich_shows_every_cell_as_it_is():
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(REPORT)
        shown = console.export_text()
    for text in ("conv.bn", "bn[2]", "kept <frozen>", "0.1235", "one layer was skipped", "and [bold]another"):
        assert text in shown


def test_a_column_that_is_not_there():
    with pytest.raises(ValueError, match=r"received also \['layers'\]"):
        Report("x", ("layer",), ({"layers": 1},))


@pytest.mark.parametrize(
    ("value", "text"), [(1.23456789, "1.235"), (1e-12, "1e-12"), (0, "0"), (False, "no"), (None, "-"), ("", "")]
)
def test_cells(value, text):
    assert format_cell(value) == text
