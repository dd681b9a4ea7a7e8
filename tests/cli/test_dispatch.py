"""From the words typed to an exit code and one message: help, wrong use, what is missing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import steadynorm
from steadynorm.cli import dispatch, main
from steadynorm.cli.command import Command
from steadynorm.errors import ArgumentError


def exit_code(words: list[str]) -> int:
    """The exit code of a command line, run in this process; argparse and tyro leave by SystemExit."""
    try:
        return main(words)
    except SystemExit as leaving:
        return int(leaving.code or 0)


@pytest.mark.parametrize("words", [["--help"], ["--version"], *([name, "--help"] for name in dispatch.COMMANDS)])
def test_help_imports_no_torch(words: list[str]) -> None:
    code = f"""
import atexit, sys
atexit.register(lambda: print(sorted({{"torch", "steadynorm.lab", "altair"}} & set(sys.modules)), file=sys.stderr))
from steadynorm.cli import main
main({words!r})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    assert "steadynorm" in done.stdout


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["--help"]) == 0
    assert set(dispatch.COMMANDS) <= set(capsys.readouterr().out.split())


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["--version"]) == 0
    assert capsys.readouterr().out == f"steadynorm {steadynorm.__version__}\n"


def test_the_script_is_this_function() -> None:
    script = Path(sys.executable).with_name("steadynorm")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"steadynorm {steadynorm.__version__}\n"


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], "COMMAND"),
        (["reproducee"], "reproducee"),
        (["reproduce", "--preset", "huge"], "huge"),
        (["reproduce", "--seeds", "many"], "many"),
        (["reproduce", "--seeds", "0"], "seeds"),
        (["reproduce", "--threads", "0"], "threads"),
        (["reproduce", "--bogus"], "--bogus"),
        (["report"], "report needs a run"),
        (["report", "a", "b", "--output", "c.html"], "received 2"),
    ],
)
def test_wrong_use_is_2(
    words: list[str], names: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exit_code(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert names in err
    assert "Traceback" not in err
    assert not list(tmp_path.glob("runs/*")), "a run that never began leaves nothing"


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["reproduce", "--data", "absent"], "folder that exists"),
        (["reproduce", "--data", "layout"], "train-*.parquet"),
        (["reproduce", "--resume"], "begin one without --resume"),
        (["report", "absent"], "absent"),
        (["report", "layout"], "result.json"),
        (["report", "layout/notes.txt"], "JSON"),
        (["report", "layout/other.json"], "steadynorm.record/2"),
    ],
)
def test_what_is_missing_is_3(
    words: list[str], names: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("layout").mkdir()
    Path("layout/notes.txt").write_text("no record")
    Path("layout/other.json").write_text(json.dumps({"schema": "another"}))
    assert exit_code(words) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert names in err
    assert "Traceback" not in err
    assert not list(tmp_path.glob("runs/*"))


def test_without_tyro_commands_name_the_extra_and_help_still_helps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tyro", None)
    assert exit_code(["reproduce"]) == 3
    assert "needs the package tyro; install it with: pip install 'steadynorm[lab]'" in capsys.readouterr().err
    assert exit_code(["--help"]) == 0
    assert "pip install 'steadynorm[lab]'" in capsys.readouterr().out


def test_a_missing_package_inside_a_command_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    monkeypatch.delitem(sys.modules, "steadynorm.lab.reproduce", raising=False)
    monkeypatch.delitem(sys.modules, "steadynorm.lab.catalogue", raising=False)
    monkeypatch.delitem(sys.modules, "steadynorm.lab.runs.directory", raising=False)
    assert exit_code(["reproduce", "--dry-run"]) == 3
    assert "needs the package yaml" in capsys.readouterr().err


class Raising(Command):
    """A command that raises."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def run(self) -> int:
        raise self.error


def run_raising(monkeypatch: pytest.MonkeyPatch, error: BaseException, *flags: str) -> int:
    monkeypatch.setattr(dispatch, "_load", lambda name, words: Raising(error))
    return main(["env", *flags])


def test_debug_shows_the_traceback_and_keeps_the_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_raising(monkeypatch, ArgumentError("must be so"), "--debug") == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.endswith("steadynorm: must be so\n")


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_raising(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "steadynorm: interrupted\n"


def test_a_file_that_cannot_be_used_is_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_raising(monkeypatch, PermissionError(13, "Permission denied", "runs")) == 3
    assert "Permission denied: 'runs'" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ZeroDivisionError(), ModuleNotFoundError("no", name="steadynorm.nowhere")])
def test_our_own_flaws_are_not_hidden(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    with pytest.raises(type(error)):
        run_raising(monkeypatch, error)


def test_broken_pipe_ends_quietly() -> None:
    """``steadynorm … | head -1`` with the reader gone."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        code = "from steadynorm.cli import main; raise SystemExit(main(['env']))"
        buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=buffered, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("words", "code"), [(["--version"], 0), (["no-such-command"], 2)])
def test_python_m_is_the_command(words: list[str], code: int) -> None:
    """Torchrun starts programs by ``python -m``."""
    source = Path(steadynorm.__file__).parents[1]
    run = subprocess.run(
        [sys.executable, "-m", "steadynorm", *words],
        env=os.environ | {"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == code
    assert steadynorm.__version__ in run.stdout or code


@pytest.mark.parametrize("shell", dispatch.SHELLS)
def test_completion_knows_every_command_and_its_flags(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "steadynorm", "--completion", shell], capture_output=True, text=True, check=True
    )
    assert all(name in done.stdout for name in dispatch.COMMANDS)
    assert "fail-on-kept" in done.stdout
