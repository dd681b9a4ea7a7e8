"""The house: who imports whom, which names are public, what importing costs."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import steadynorm as sn
from steadynorm.nn.catalogue import CATALOGUE

SOURCE = Path(sn.__file__).parent
GROUND = {"errors", "_torch", "_renamed"}
ROOMS = {
    "errors": set(),
    "_torch": set(),
    "_renamed": set(),
    "reports": set(),
    "functional": GROUND,
    "kernels": {"functional"} | GROUND,
    "nn": {"functional", "kernels"} | GROUND,
    "surgery": {"nn", "kernels", "functional", "reports"} | GROUND,
    "doctor": {"surgery", "nn", "functional", "reports"} | GROUND,
    "bench": {"nn", "kernels", "functional", "errors"},
    "lab": {"surgery", "doctor", "nn", "kernels", "functional", "reports", "errors"},
    "pages": {"reports", "errors"},
    "cli": {"lab", "pages", "bench", "doctor", "surgery", "nn", "kernels", "reports", "errors"},
    "__main__": {"cli"},
}
EXPLAINER = {"functional", "nn", "reports", "errors"}  # pages/explainer computes its numbers
FILES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))

# What `steadynorm.X` offers. Adding or removing a name is a decision: change it here too. A method's function and
# layers are in its row of the catalogue.
PUBLIC = {
    "steadynorm": ["__version__", "errors", "figure", "functional", "nn", "reports"],  # and the tools, see below
    "steadynorm.functional": [
        "CONVENTIONS",
        "Convention",
        "Covariance",
        "Estimator",
        "Moments",
        "MovingAverage",
        "Noise",
        "PaperEstimator",
        "PooledEstimator",
        "RunningStatistics",
        "batch_covariance",
        "batch_moments",
        "batch_norm",
        "batch_norm_backward",
        "batch_renorm",
        "convert_stats",
        "draw_noise",
        "example_weighted_norm",
        "fold_affine",
        "fold_weights_after",
        "fold_weights_before",
        "ghost_batch_norm",
        "identity_affine",
        "iter_norm",
        "lp_batch_norm",
        "merge_moments",
        "noisy_batch_norm",
        "normalize",
        "population_statistics",
        "update_running_statistics",
        "whiten",
        "whitening_matrix",
        "whitening_norm",
    ],
    "steadynorm.nn": [
        "ACTIVATIONS",
        "Ramp",
        "SyncBatchNorm",
        "domain",
        *(
            f"{name}{dims}d"
            for name in (
                "BatchNorm",
                "BatchRenorm",
                "DomainBatchNorm",
                "ExampleWeightedBatchNorm",
                "FrozenBatchNorm",
                "GhostBatchNorm",
                "IterNorm",
                "LazyBatchNorm",
                "LpBatchNorm",
                "NoisyBatchNorm",
                "WhiteningNorm",
            )
            for dims in (1, 2, 3)
        ),
    ],
}
BY_METHOD = {
    "steadynorm.functional": {method.function.__name__ for method in CATALOGUE},
    "steadynorm.nn": {kind.__name__ for method in CATALOGUE for kind in method.layers.values()},
}

# A tool is public if a page of docs/tools is about it, in whose title it stands before the colon.
TOOLS = Path(__file__).resolve().parents[1] / "docs" / "tools"
TITLES = [page.read_text().partition("\n")[0].removeprefix("# ").partition(":")[0] for page in TOOLS.glob("*.md")]
PUBLIC["steadynorm"] += [name for title in TITLES for name in re.split(", | and ", title)]


def imports(path: Path) -> set[str]:
    """The rooms of the house that a file imports, wherever in the file it does so."""
    package = ["steadynorm", *path.parent.parts]
    found = set()
    for node in ast.walk(ast.parse((SOURCE / path).read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, node.module] if node.module else base)
            names = [f"{stem}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("steadynorm.")}
    return found


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_go_one_way(path):
    if path == Path("__init__.py"):  # names every room, and imports none until it is asked for
        return
    room = path.parts[0].removesuffix(".py")
    allowed = EXPLAINER if path.parts[:2] == ("pages", "explainer") else ROOMS[room]
    assert imports(path) <= allowed | {room}


def test_the_import_walk_sees_what_it_should():
    assert imports(Path("nn/base.py")) >= {"functional", "errors"}
    assert imports(Path("functional/moments.py")) == {"functional"}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_torchs_private_names_are_in_one_file(path):
    if path == Path("_torch.py"):
        return
    text = (SOURCE / path).read_text()
    private = re.findall(r"\w+\._(?:buffers|modules|parameters|non_persistent_buffers_set|forward_hooks)\b", text)
    private += re.findall(r"(?:torch|[\w.]*_C|forward_ad)\._(?!_)\w+|from torch[\w.]* import .*\b_[a-z_A-Z]\w*", text)
    quoted = {"torch._dynamo"}  # named, not touched: is it imported?
    assert set(private) <= quoted


@pytest.mark.parametrize("path", FILES, ids=str)
def test_files_say_what_they_are(path):
    assert ast.get_docstring(ast.parse((SOURCE / path).read_text())), f"{path} needs a docstring"


@pytest.mark.parametrize(("module", "names"), PUBLIC.items())
def test_public_names(module, names):
    __import__(module)
    offered = sys.modules[module].__all__
    assert len(set(offered)) == len(offered)
    assert set(offered) == set(names) | BY_METHOD.get(module, set())
    for name in offered:
        assert getattr(sys.modules[module], name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'batchnorm'"):
        sn.batchnorm  # noqa: B018
    assert set(sn.__all__) <= set(dir(sn))


def fresh(code: str) -> str:
    """What this code prints in a new interpreter."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_and_using_touches_neither_lab_nor_pages_nor_cli():
    code = """
import sys, steadynorm as sn
assert "torch" not in sys.modules
sn.nn.BatchNorm2d(3), sn.functional.batch_norm
heavy = {"lab", "pages", "cli", "doctor", "bench"}
print(sorted(m for m in sys.modules if m.startswith("steadynorm.") and m.split(".")[1] in heavy))
sn.recalibrate_, sn.fold, sn.convert_, sn.freeze_, sn.drop_redundant_biases_
slow = ("torch._dynamo", "rich", "tyro", "scipy", "sklearn", "jinja2", "altair", "yaml")
print(sorted(m for m in slow if m in sys.modules))
"""
    assert fresh(code).split("\n") == ["[]", "[]"]


def test_every_error_is_also_a_built_in():
    for name in sn.errors.__all__:
        error = getattr(sn.errors, name)
        assert issubclass(error, sn.errors.SteadyNormError)
        assert name in sn.errors.__doc__, "the tree in the docstring must show it"
        if error is not sn.errors.SteadyNormError:
            assert issubclass(error, ValueError | RuntimeError | TypeError | ImportError)
