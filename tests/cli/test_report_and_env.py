"""``steadynorm report`` and ``steadynorm env``."""

import json
from pathlib import Path

import pytest
import torch

import madeup
import steadynorm as sn
from steadynorm import kernels
from steadynorm.cli import main


def test_report_is_built_again_from_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, record = tmp_path / "run", tmp_path / "record.json"
    run.mkdir()
    for file in (run / "result.json", record):
        file.write_text(json.dumps(madeup.record()))
    assert main(["report", str(run), str(record)]) == 0
    pages = [run / "report.html", tmp_path / "record.html"]
    assert capsys.readouterr().out == "".join(f"{page}\n" for page in pages)
    assert main(["report", str(run), "-o", str(tmp_path / "page.html")]) == 0
    assert len({page.read_text() for page in [*pages, tmp_path / "page.html"]}) == 1


def test_env_shows_what_is_here_and_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env"]) == 0
    out = capsys.readouterr().out
    assert torch.__version__ in out
    assert kernels.status() in out
    assert main(["env", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["environment"]["packages"]["torch"] == torch.__version__
    assert document["environment"]["threads"] == torch.get_num_threads()
    assert list(document["checks"].values()) == [True, True]


class OtherLayer(torch.nn.BatchNorm2d):
    """Not what torch computes: eps is another."""

    def __init__(self, *arguments: int, **more: torch.dtype) -> None:
        super().__init__(*arguments, eps=1e-3, **more)


def other_transform(x: torch.Tensor, *affine: torch.Tensor, eps: float) -> tuple[torch.Tensor]:
    """Without the path through the mean: the gradient of another function."""
    return (x - x.mean(0).detach(),)


def test_env_shows_why_there_are_no_kernels(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kernels, "failure", lambda: "c++: error: no such option")
    assert main(["env"]) == 0
    assert "Why there are no kernels:\nc++: error: no such option" in capsys.readouterr().out
    assert main(["env", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kernels' failure"] == "c++: error: no such option"


@pytest.mark.parametrize(
    ("owner", "name", "wrong", "checks"),
    [
        (sn.nn, "BatchNorm2d", OtherLayer, [True, False]),
        (sn.functional, "batch_norm", other_transform, [False, True]),
    ],
)
def test_env_is_1_where_a_check_fails(
    owner: object,
    name: str,
    wrong: object,
    checks: list[bool],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(owner, name, wrong)
    assert main(["env", "--json"]) == 1
    assert list(json.loads(capsys.readouterr().out)["checks"].values()) == checks
