"""What reaches the reader: tables fitted to a terminal, progress as a bar or as lines."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from steadynorm.cli import progress as progress_module
from steadynorm.cli.output import is_interactive, print_report
from steadynorm.cli.plain import speak_plainly
from steadynorm.cli.progress import show_progress
from steadynorm.lab.runs.monitor import Progress
from steadynorm.reports import Report

WIDE = Report(
    "a table",
    ("arm", "the first column", "the second column", "the third column"),
    ({"arm": "A", "the first column": 1, "the second column": 2, "the third column": 3}, {"arm": "B"}),
    ("A note of several words.",),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 40 columns."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def test_a_table_too_wide_for_the_terminal_comes_in_blocks(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", terminal)
    print_report(WIDE)
    assert terminal.getvalue().split("\n\n") == [
        "a table\narm  the first column  the second column\nA                   1                  2\n"
        "B                   -                  -",
        "arm  the third column\nA                   3\nB                   -",
        "A note of several words.\n",
    ]


def test_a_column_wider_than_the_terminal_still_shows(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "5")
    print_report(WIDE)
    assert all(name in terminal.getvalue() for name in WIDE.columns)


def test_elsewhere_a_table_is_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(WIDE)
    assert capsys.readouterr().out == f"{WIDE}\n"


@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("TERM", "dumb")])
def test_what_is_not_interactive(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    assert is_interactive(terminal)
    monkeypatch.setenv(name, value)
    assert not is_interactive(terminal)


def test_progress_is_a_bar_on_a_terminal(terminal: Terminal) -> None:
    with show_progress(terminal) as show:
        show(Progress(30, 60, "arms: 1 of 2 runs", 45.0))
    shown = terminal.getvalue()
    assert all(words in shown for words in ("arms: 1 of 2 runs", "50%", "45 s left"))
    assert "\x1b[38;5;" in shown, "in colour"


def test_no_color_is_honoured(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with show_progress(terminal) as show:
        show(Progress(30, 60, "arms", 45.0))
    assert "50%" in terminal.getvalue()
    assert "\x1b[38;5;" not in terminal.getvalue()


def test_progress_is_a_line_now_and_then_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 3.0, 11.0, 12.0, 25.0])

    class Time:
        monotonic = staticmethod(lambda: next(clock))

    monkeypatch.setattr(progress_module, "time", Time)
    stream = io.StringIO()
    with show_progress(stream) as show:
        for done, left in ((1, None), (2, None), (3, 7.0), (4, 600.0)):
            show(Progress(done, 4, "grid", left))
    assert stream.getvalue() == " 50%  grid\n100%  grid  10 min left\n"


def test_files_are_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import madeup
    from steadynorm.cli.output import write_report

    file = tmp_path / "report.html"
    file.write_text("old")
    monkeypatch.setattr(Path, "write_text", lambda *_args, **_more: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(OSError, match=r"disk full.*report\.html"):
        write_report(madeup.record(), file)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", "2x3, eps <= 0.1 +- 1, cafe ?"), ("latin-1", "2×3, eps <= 0.1 ± 1, café ?")]
)
def test_a_stream_gets_plain_characters_for_those_that_it_cannot_encode(encoding: str, shown: str) -> None:
    bytes_written = io.BytesIO()
    stream = io.TextIOWrapper(bytes_written, encoding=encoding)
    speak_plainly(stream)
    print("2×3, ε ≤ 0.1 ± 1, café 語", file=stream, end="", flush=True)
    assert bytes_written.getvalue().decode(encoding) == shown


def test_commands_speak_plainly_where_the_locale_is_c() -> None:
    environment = {
        **os.environ,
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }
    words = [sys.executable, "-m", "steadynorm", "claims", "transform"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
