"""``steadynorm reproduce``: results and reports, interruption and resumption."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import madeup
from steadynorm.cli import main
from steadynorm.lab import reproduce
from steadynorm.lab.claims.ladder.ladder import CLAIM
from steadynorm.lab.runs.monitor import Progress
from steadynorm.lab.runs.options import Options


class Ladder:
    """Stands in for ``reproduce.run``: notes how it is called, and returns the made-up record or is interrupted."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Path, bool]] = []
        self.interrupted = False

    def __call__(
        self, claims: Any, options: Any, directory: Path, *, resume: bool, progress: Any, alone: bool, committed: Any
    ) -> dict[str, Any]:
        assert [claim.id for claim in claims] == ["ladder"]
        assert alone
        self.calls.append((options, directory, resume))
        progress(Progress(1, 2, "grid", None))
        if self.interrupted:
            raise KeyboardInterrupt
        return madeup.record()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ladder:
    stand_in = Ladder()
    monkeypatch.setattr(reproduce, "run", stand_in)
    monkeypatch.chdir(tmp_path)
    return stand_in


def test_prints_the_table_and_writes_the_report_twice(fake: Ladder, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["reproduce", "--preset", "smoke", "--seeds", "3", "--threads", "2", "-o", "pages/report.html"]
    assert main(words) == 0
    ((options, directory, resume),) = fake.calls
    assert options == Options("smoke", "digits", 3, 2)
    assert not resume
    assert directory.parent == Path("runs/ladder-digits")
    out, err = capsys.readouterr()
    record = madeup.record()
    assert out == f"{CLAIM.table(record)}\nrecord: {directory}/result.json\nreport: pages/report.html\n"
    assert err == ""
    page = (directory / "report.html").read_text()
    assert page == Path("pages/report.html").read_text()
    assert record["statement"].replace("'", "&#39;") in page


def test_json_is_one_document(fake: Ladder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == json.loads(json.dumps(madeup.record()))
    assert f"report: {fake.calls[0][1]}/report.html" in err


def test_data_name_the_run(fake: Ladder) -> None:
    Path("images/pets").mkdir(parents=True)
    assert main(["reproduce", "--data", "images/pets/", "--runs", "elsewhere"]) == 0
    assert fake.calls[0][1].parent == Path("elsewhere/ladder-pets")


def test_interrupted_says_how_to_go_on_and_that_works(fake: Ladder, capsys: pytest.CaptureFixture[str]) -> None:
    fake.interrupted = True
    assert main(["reproduce", "--preset", "full", "--seeds", "7", "--threads", "1", "-o", "a b.html"]) == 130
    out, err = capsys.readouterr()
    assert out == ""
    command = err.partition("go on with: ")[2].strip()
    fake.interrupted = False
    assert main(shlex.split(command)[1:]) == 0
    (options, directory, _), (options_again, directory_again, resume) = fake.calls
    assert (options_again, directory_again, resume) == (options, directory, True)
    assert Path("a b.html").exists()


def test_dry_run_shows_the_plan_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "--dry-run", "--preset", "smoke"]) == 0
    assert "minutes" in capsys.readouterr().out
    assert main(["reproduce", "--dry-run", "--preset", "smoke", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["runs"] > 6
    assert planned["minutes"] > 0
    assert list(tmp_path.iterdir()) == []


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start the real thing, in a process group of its own as a terminal would."""
    return subprocess.Popen(
        [Path(sys.executable).with_name("steadynorm"), *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a suite in the background has it ignored
    )


def test_ctrl_c_saves_and_resume_completes(tmp_path: Path) -> None:
    words = ("reproduce", "--preset", "smoke", "--seeds", "2", "--json")
    process = start(tmp_path, *words)
    while not list(tmp_path.glob("runs/ladder-digits/*/checkpoints/ladder/*.json")):  # the first run has ended
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, err
    assert out == ""
    assert "go on with: steadynorm reproduce" in err
    assert "Traceback" not in err
    (directory,) = tmp_path.glob("runs/ladder-digits/*")
    assert not (directory / "result.json").exists()

    process = start(tmp_path, *words, "--resume")
    out, err = process.communicate()
    assert process.returncode == 0, err
    record = json.loads(out)
    assert record == json.loads((directory / "result.json").read_text())
    assert 0 < record["target_accuracy"] <= 1
    assert len(record["arms"]) == 6
    assert (directory / "report.html").exists()


def test_a_full_disk_names_the_file_and_the_way_on(
    fake: Ladder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "runs/x/report.html")

    monkeypatch.setattr("steadynorm.cli.reproduce.write_report", full)
    assert main(["reproduce", "--preset", "smoke", "--json", "-o", "page.html"]) == 3
    err = capsys.readouterr().err
    assert "runs/x/report.html" in err
    assert "go on with: steadynorm reproduce --preset smoke" in err
    assert "--output page.html --json --resume" in err
