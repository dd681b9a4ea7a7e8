"""``steadynorm doctor``: what is printed, what is written, and the exit codes."""

import json
import sys

import pytest

from steadynorm.cli import main

MODULE = """
import torch
from torch import nn

import steadynorm as sn

draw = torch.Generator().manual_seed(0)
images = [torch.randn(32, 3, 8, 8, generator=draw) * 2 + 1 for _ in range(12)]

def network():
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 4),
    )
    sn.recalibrate_(model, images)
    return model.eval()

def sick():
    model = network()
    model[1].running_mean += 30
    model[1].num_batches_tracked.fill_(1000)
    return model

labels = network()

def loader():
    for x in images:
        yield x, labels(x).argmax(1)

def accuracy(outputs, batch):
    return (outputs.argmax(1) == batch[1]).float().mean()

def loss(outputs, batch):
    return outputs.square().mean()

def forward(model, batch):
    return model(batch[0])
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The user's folder, with a module in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "clinic.py").write_text(MODULE)
    yield tmp_path
    sys.modules.pop("clinic", None)


def doctor(target, *words):
    return main(["doctor", f"clinic:{target}", *words])


def test_a_healthy_model(capsys):
    assert doctor("network", "--data", "clinic:images", "--fail-on", "warning") == 0
    out, err = capsys.readouterr()
    assert out.startswith("no findings; ")
    assert err == ""


def test_a_sick_model(folder, capsys):
    words = ("--data", "clinic:loader", "--metric", "clinic:accuracy", "--html", "page.html")
    assert doctor("sick", *words, "--fail-on", "error") == 1
    out = capsys.readouterr().out
    assert "error: far-from-data in 1\n" in out
    assert "sn.recalibrate_(model, batches)" in out
    assert "the metric is " in out
    assert "wrote page.html" in out
    assert "far-from-data" in (folder / "page.html").read_text()


def test_json(capsys):
    words = ("--data", "clinic:loader", "--metric", "clinic:accuracy", "--json")
    assert doctor("sick", *words) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["rule"] for one in found["diagnosis"]["findings"]] == ["far-from-data"]
    assert found["gap"]["shares"][0]["layers"] == ["1"]
    assert found["gap"]["tried"] == 1.0


def test_without_data_it_says_what_did_not_run(capsys):
    assert doctor("network") == 0
    assert "(give batches)" in capsys.readouterr().out


def test_what_is_ignored_does_not_fail(capsys):
    words = ("--data", "clinic:images", "--fail-on", "note")
    assert doctor("sick", *words) == 1
    assert doctor("sick", *words, "--ignore", "far-from-data", "redundant-*") == 0


def test_forward_and_loss(capsys):
    words = ("--data", "clinic:loader", "--forward", "clinic:forward", "--loss", "clinic:loss")
    assert doctor("network", *words) == 0
    assert "forward=" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--metric", "clinic:accuracy"), 2, "--metric needs --data"),
        (("--data", "clinic:images", "--metric", "clinic:images"), 2, "must be a function"),
        (("--data", "clinic:nothing"), 2, "must exist"),
        (("--data", "torch:pi"), 2, "iterable of batches"),
        (("--data", "clinic:images", "--max-batches", "0"), 2, "max_batches must be 1 or more"),
        (("--weights", "absent.pt"), 3, "absent.pt"),
        (("--data", "clinic:images", "--html", "clinic.py/page.html"), 3, "clinic.py"),
    ],
)
def test_wrong_use(folder, capsys, words, code, message):
    assert doctor("network", *words) == code
    assert message in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["clinic.py"]
