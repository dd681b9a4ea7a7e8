"""``steadynorm fold``: what is printed, what is written, and the exit codes."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from steadynorm.cli import main
from steadynorm.cli.target import load_model, load_object

MODULE = """
import torch
from torch import nn

torch.manual_seed(0)
images = [torch.randn(2, 3, 8, 8), (torch.randn(1, 3, 8, 8),)]

def double():
    return {"input": torch.randn(2, 3, 8, 8, dtype=torch.float64)}

def no_images():
    raise OSError("no disk")

def network():
    torch.manual_seed(1)
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4), nn.ReLU()
    return nn.Sequential(*layers)

def wide():
    return network().double()

class Decides(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = network()[:2]

    def forward(self, x):
        y = self.body(x)
        return y if y.sum() > -1e9 else -y
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's folder, with a module in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "zoo_of_folding.py").write_text(MODULE)
    yield tmp_path
    sys.modules.pop("zoo_of_folding", None)


def fold(*words: str) -> int:
    return main(["fold", *words])


def test_the_report_is_printed_and_nothing_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fold("zoo_of_folding:network", "--example", "2,3,8,8") == 0
    out, err = capsys.readouterr()
    assert out.startswith("folded 1 of 2 batch norms\n")
    assert "its input comes from relu in 2" in out
    assert err == ""
    assert [path.name for path in folder.iterdir()] == ["zoo_of_folding.py"]


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert fold("zoo_of_folding:wide", "--example", "2,3,8,8", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert [(row["layer"], row["done"]) for row in report["rows"]] == [("1", "folded"), ("3", "kept")]
    assert report["rows"][0]["error"] < 1e-11, "sizes are drawn in the model's own dtype"


def test_weights_in_and_weights_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = load_object("zoo_of_folding:network")()
    model(torch.randn(8, 3, 8, 8))
    torch.save(model.state_dict(), folder / "w.pt")
    target = "zoo_of_folding:network"
    assert fold(target, "--example", "2,3,8,8", "--weights", "w.pt", "-o", "f.safetensors") == 0
    written = load_file(folder / "f.safetensors")
    scale = model[1].weight / (model[1].running_var + model[1].eps).sqrt()
    torch.testing.assert_close(written["0.weight"], (model[0].weight * scale.reshape(-1, 1, 1, 1)).detach())
    assert "1.weight" not in written
    assert "wrote f.safetensors\n" in capsys.readouterr().out
    (folder / "plain").touch()
    assert (folder / "f.safetensors").stat().st_mode == (folder / "plain").stat().st_mode
    assert torch.equal(written["3.running_var"], model[3].running_var)


@pytest.mark.parametrize("example", ["2,3,8,8", "zoo_of_folding:images"])
def test_a_program_of_aten_operators(example: str, folder: Path) -> None:
    assert fold("zoo_of_folding:network", "--example", example, "-o", "new/f.pt2") == 0
    program = torch.export.load(folder / "new" / "f.pt2")
    calls = [node.target for node in program.graph.nodes if node.op == "call_function"]
    assert {target.namespace for target in calls} == {"aten"}
    assert ["batch_norm" in str(target) for target in calls].count(True) == 1
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(
        program.module()(x), load_model("zoo_of_folding:network").eval()(x), rtol=1e-4, atol=1e-6
    )
    assert [path.name for path in (folder / "new").iterdir()] == ["f.pt2"]


def test_examples_by_keyword_and_trust(capsys: pytest.CaptureFixture[str]) -> None:
    assert fold("zoo_of_folding:wide", "--example", "zoo_of_folding:double", "-o", "f.pt2") == 0
    assert fold("zoo_of_folding:Decides", "--example", "2,3,8,8") == 0
    assert "values decide" in capsys.readouterr().out
    assert fold("zoo_of_folding:Decides", "--example", "2,3,8,8", "--trust-examples") == 0
    assert "seen, not traced" in capsys.readouterr().out


def test_a_model_that_is_not_equal_is_1_and_not_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "zoo_of_folding:network", "--example", "2,3,8,8", "--tolerance", "0", "-o", "f.safetensors"
    assert fold(*words) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "must equal the original" in err
    assert not (folder / "f.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["zoo_of_folding:network"], 2, "needs --example"),
        (["zoo_of_folding:network", "--example", "2,three"], 2, "package.module:name"),
        (["zoo_of_folding:network", "--example", "zoo_of_folding:absent"], 2, "absent"),
        (["zoo_of_folding:network", "--example", "zoo_of_folding:no_images"], 2, "no disk"),
        (["zoo_of_folding:network", "--example", "2,4,8,8"], 2, "must run on example_inputs"),
        (["zoo_of_folding:network", "--example", "2,3,8,8", "-o", "f.onnx"], 2, ".safetensors or .pt2"),
        (["zoo_of_folding:network", "--example", "2,3,8,8", "-o", ""], 2, "--output must name a file to write"),
        (["zoo_of_folding:network", "--example", "2,3,8,8", "-o", ".."], 2, "received the folder .."),
        (["zoo_of_folding:network", "--example", "abc"], 2, "--example must be sizes such as 1,3,224,224"),
        (["zoo_of_folding:network", "--example", "2,3,8,8", "--tolerance", "-1"], 2, "tolerance must be 0 or more"),
        (["zoo_of_folding:network", "--example", "2,3,8,8", "--weights", "absent.pt"], 3, "absent.pt"),
        (["zoo_of_folding:Decides", "--example", "2,3,8,8", "-o", "f.pt2"], 2, "torch.export takes"),
        (["absent:network", "--example", "2,3,8,8"], 2, "no module absent"),
    ],
)
def test_exit_codes(words: list[str], code: int, says: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fold(*words) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert "Traceback" not in err
    assert [path.name for path in folder.iterdir()] == ["zoo_of_folding.py"]


def test_fail_on_kept() -> None:
    target = ("zoo_of_folding:network", "--example", "2,3,8,8")
    assert fold(*target) == 0
    assert fold(*target, "--fail-on-kept") == 1, "one of two is kept"
