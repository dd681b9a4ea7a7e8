"""``steadynorm recalibrate``: what is printed, what is written, and the exit codes."""

import json
import sys

import pytest
import torch
from safetensors.torch import load_file

from steadynorm.cli import main
from steadynorm.cli.target import load_object

MODULE = """
import torch
from torch import nn

torch.manual_seed(0)
images = [torch.randn(n, 3, 8, 8) * 2 + 1 for n in (4, 4, 1)]

def loader():
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.cat(images)), batch_size=5)

def broken():
    yield images[0]
    raise OSError("no disk")

def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The user's folder, with a module in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "zoo_of_statistics.py").write_text(MODULE)
    yield tmp_path
    sys.modules.pop("zoo_of_statistics", None)


def recalibrate(*words):
    return main(["recalibrate", "zoo_of_statistics:network", *words])


@pytest.mark.parametrize("data", ["images", "loader"])
def test_the_report_is_printed_and_nothing_written(folder, capsys, data):
    assert recalibrate("--data", f"zoo_of_statistics:{data}") == 0
    out, err = capsys.readouterr()
    assert out.startswith("recalibrated 2 of 2 normalization layers in 1 pass over the data\n")
    assert err == ""
    assert [path.name for path in folder.iterdir()] == ["zoo_of_statistics.py"]


def test_weights_in_and_weights_out(folder, capsys):
    model = load_object("zoo_of_statistics:network")()
    with torch.no_grad():
        model[0].running_var.fill_(torch.nan)
        model[1].weight.mul_(2)
    torch.save(model.state_dict(), folder / "damaged.pt")
    words = ("--data", "zoo_of_statistics:images", "--passes", "exact", "--json")
    assert recalibrate(*words, "--weights", "damaged.pt", "-o", "new.safetensors") == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["done"] for row in report["rows"]] == ["recalibrated"] * 2
    assert report["notes"] == ["these had a variance of 0, or statistics that were not finite: 0"]
    new, data = load_file(folder / "new.safetensors"), torch.cat(load_object("zoo_of_statistics:images"))
    torch.testing.assert_close(new["0.running_var"], data.var((0, 2, 3)))
    torch.testing.assert_close(new["1.weight"], model[1].weight.detach())
    assert int(new["2.num_batches_tracked"]) == 3


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "needs --data"),
        (("--data", "zoo_of_statistics:images", "-o", "x.pt"), 2, "must end in .safetensors"),
        (("--data", "zoo_of_statistics:nothing"), 2, "must exist"),
        (("--data", "nowhere:images"), 2, "no module nowhere"),
        (("--data", "torch:pi"), 2, "iterable of batches"),
        (("--data", "zoo_of_statistics:images", "--weights", "absent.pt"), 3, "absent.pt"),
        (("--data", "zoo_of_statistics:images", "--tolerance", "0"), 2, "tolerance must be above 0"),
        (("--data", "zoo_of_statistics:broken"), 3, "no disk"),
    ],
)
def test_wrong_use(folder, capsys, words, code, message):
    assert recalibrate(*words) == code
    assert message in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["zoo_of_statistics.py"]
