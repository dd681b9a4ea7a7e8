"""A user's model by its name, weights from a file, and what is said when either is not what it should be."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from steadynorm.cli.target import load_model, load_object, save_weights
from steadynorm.errors import ArgumentError, DataError, MissingExtraError, ModelError, SteadyNormError

MODULE = """
from torch import nn

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
        self.b.weight = self.a.weight

    @classmethod
    def make(cls):
        return cls()

model = nn.Linear(3, 2)
number = 3

def factory():
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))

def wants(width):
    return nn.Linear(width, 2)

def none():
    return None
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's folder, with a package in it; what is imported from there is forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    package = tmp_path / "zoo"
    package.mkdir()
    (package / "models.py").write_text(MODULE)
    (package / "needs.py").write_text("import no_such_package\n")
    (package / "broken.py").write_text("1 / 0\n")
    (package / "unset.py").write_text("None.x\n")
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("zoo"):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("zoo.models:factory", nn.Sequential),
        ("zoo.models:model", nn.Linear),
        ("zoo.models:Tied", nn.Module),
        ("zoo.models:Tied.make", nn.Module),
        ("torch.nn:Identity", nn.Identity),
    ],
)
def test_models_by_name(target: str, kind: type[nn.Module]) -> None:
    assert isinstance(load_model(target), kind)


@pytest.mark.parametrize(
    ("target", "error", "says"),
    [
        ("zoo.models", ArgumentError, "package.module:name"),
        (":factory", ArgumentError, "package.module:name"),
        ("zoo/models.py:factory", ArgumentError, "no module zoo/models"),
        ("zoo.other:factory", ArgumentError, "no module zoo.other"),
        ("zo.models:factory", ArgumentError, "no module zo:"),
        ("zoo.models:absent", ArgumentError, "absent"),
        ("zoo.models:number", ArgumentError, "must be a model or make one, but is of type int"),
        ("zoo.models:none", ArgumentError, "returned a value of type NoneType"),
        ("zoo.models:wants", ModelError, "missing 1 required positional argument"),
        ("zoo.needs:factory", MissingExtraError, "no_such_package"),
        ("zoo.broken:factory", ModelError, "ZeroDivisionError"),
        ("zoo.unset:factory", ModelError, "AttributeError"),
    ],
)
def test_wrong_targets(target: str, error: type[SteadyNormError], says: str) -> None:
    with pytest.raises(error, match=says):
        load_model(target)


def test_any_object() -> None:
    assert load_object("zoo.models:number") == 3


def drawn(model: nn.Module, seed: int) -> nn.Module:
    """The model with other values."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=generator))
    return model


@pytest.mark.parametrize("target", ["zoo.models:factory", "zoo.models:Tied"])
@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w"])
def test_weights_go_there_and_back(target: str, name: str, folder: Path) -> None:
    model, file = drawn(load_model(target), 1), folder / "new" / name
    if file.suffix == ".safetensors":
        save_weights(model, file)
    else:
        file.parent.mkdir()
        torch.save(model.state_dict(), file)
    assert [path.name for path in file.parent.iterdir()] == [name]
    loaded = load_model(target, file).state_dict()
    for key, value in model.state_dict().items():
        assert torch.equal(loaded[key], value)


def test_a_failed_write_leaves_the_old_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / "w.safetensors"
    save_weights(nn.Linear(1, 1), file)
    old = file.read_bytes()

    def fail(model: nn.Module, path: str) -> None:
        Path(path).write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr("safetensors.torch.save_model", fail)
    with pytest.raises(OSError, match="disk full"):
        save_weights(nn.Linear(1, 1), file)
    assert file.read_bytes() == old
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_channels_last_weights_are_written(folder: Path) -> None:
    model = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    save_weights(model, folder / "w.safetensors")
    assert torch.equal(load_file(folder / "w.safetensors")["weight"], model.weight)


class Code:
    """What a pickle runs when it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("open('ran', 'w').close()",)


WRONG_FILES = {
    "code.pt": (lambda f: torch.save({"a": Code()}, f), DataError, "without running code"),
    "a whole model.pt": (lambda f: torch.save(nn.Linear(3, 2), f), DataError, "without running code"),
    "text.pt": (lambda f: f.write_text("text"), DataError, "torch.save"),
    "text.safetensors": (lambda f: f.write_text("text"), DataError, "must be a safetensors file"),
    "a tensor.pt": (lambda f: torch.save(torch.ones(2), f), DataError, "holds a value of type Tensor"),
    "a checkpoint.pt": (lambda f: torch.save({"epoch": 1, "state_dict": {}}, f), ModelError, "Unexpected key.*epoch"),
    "of another.pt": (lambda f: torch.save(nn.Linear(9, 9).state_dict(), f), ModelError, "Missing key"),
    "of another.safetensors": (lambda f: save_file({"a": torch.ones(1)}, f), ModelError, "Missing key"),
    "absent.pt": (lambda f: None, OSError, "absent.pt"),
    "absent.safetensors": (lambda f: None, OSError, "absent.safetensors"),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_wrong_files(name: str, folder: Path) -> None:
    write, error, says = WRONG_FILES[name]
    write(folder / name)
    with pytest.raises(error, match=f"(?s){says}"):
        load_model("zoo.models:factory", folder / name)
    assert not (folder / "ran").exists()
