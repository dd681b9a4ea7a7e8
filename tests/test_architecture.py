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
# Of the ground level a room may take what stands to its left; every room above may take all of it.
GROUND = ("errors", "_torch", "_renamed", "files", "environment", "reports")
FLOORS = {
    "functional": set(),
    "kernels": {"functional"},
    "nn": {"functional", "kernels"},
    "surgery": {"nn", "kernels", "functional"},
    "doctor": {"surgery", "nn", "kernels", "functional"},
    "bench": {"nn", "kernels", "functional"},
    "lab": {"doctor", "surgery", "nn", "kernels", "functional"},
    "pages": set(),
    "cli": {"lab", "pages", "bench", "doctor", "surgery", "nn", "kernels"},
    "__main__": {"cli"},
}
ROOMS = {name: set(GROUND[:i]) for i, name in enumerate(GROUND)}
ROOMS |= {name: {*below, *GROUND} for name, below in FLOORS.items()}
EXPLAINER = {"functional", "nn", *GROUND}  # pages/explainer computes its numbers
# Within the lab: what a claim is knows what runs jobs, not the other way round, and neither knows the claims.
LAB = {
    "curves": set(),
    "data": set(),
    "table": set(),
    "network": {"table"},
    "describe": {"network", "table"},
    "recipes": {"claims", "network", "runs", "table"},
    "upgrade": {"curves"},
    "records": {"upgrade"},
    "runs": {"data", "network"},
    "stream": {"runs"},
    "claim": {"records", "runs"},
    "claims": {"claim", "records", "runs", "data", "network", "table", "curves"},
    "catalogue": {"claims", "claim", "records", "runs", "upgrade"},
    "reproduce": {"claim", "records", "runs"},
}
FILES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))

# What `steadynorm.X` offers. Adding or removing a name is a decision: change it here too. A method's function and
# layers are in its row of the catalogue.
PUBLIC = {
    "steadynorm": [
        "__version__",
        "errors",
        "figure",
        "functional",
        "nn",
        "reports",
        "surgery",  # and the tools, see below
    ],
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
        "complex_normalize",
        "convert_stats",
        "draw_noise",
        "example_weighted_norm",
        "fold_affine",
        "fold_weights_after",
        "fold_weights_before",
        "ghost_batch_norm",
        "group_norm",
        "layer_norm",
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
    "steadynorm.surgery": ["register"],
    "steadynorm.nn": [
        "ACTIVATIONS",
        "Ramp",
        "SyncBatchNorm",
        "GroupNorm",
        "InstanceNorm1d",
        "InstanceNorm2d",
        "InstanceNorm3d",
        "LayerNorm",
        "condition",
        "mask",
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


def imported(path: Path) -> set[str]:
    """What of this package a file imports, wherever in the file it does so: dotted names below ``steadynorm``."""
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
        found |= {name.removeprefix("steadynorm.") for name in names if name.startswith("steadynorm.")}
    return found


def imports(path: Path) -> set[str]:
    """The rooms of the house that a file imports."""
    return {name.split(".")[0] for name in imported(path)}


def module_of(name: str) -> Path | None:
    """The file that a dotted name is in: a module's own, or that of the module which holds the name."""
    for parts in (name.split("."), name.split(".")[:-1]):
        for file in (Path(*parts).with_suffix(".py") if parts else None, Path(*parts, "__init__.py")):
            if file in FILES:
                return file
    return None


def circle(graph: dict[Path, set[Path]]) -> list[Path]:
    """Return modules that import one another in a ring, or nothing."""
    done: set[Path] = set()

    def walk(at: Path, way: list[Path]) -> list[Path]:
        if at in way:
            return [*way[way.index(at) :], at]
        if at in done:
            return []
        ring = next(filter(None, (walk(to, [*way, at]) for to in sorted(graph[at]))), [])
        done.add(at)
        return ring

    return next(filter(None, (walk(start, []) for start in graph)), [])


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_go_one_way(path):
    if path == Path("__init__.py"):  # names every room, and imports none until it is asked for
        return
    room = path.parts[0].removesuffix(".py")
    allowed = EXPLAINER if path.parts[:2] == ("pages", "explainer") else ROOMS[room]
    assert imports(path) <= allowed | {room}


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[0] == "lab"], ids=str)
def test_the_labs_imports_go_one_way(path):
    inside = {name.split(".")[1] for name in imported(path) if name.startswith("lab.")}
    room = path.parts[1].removesuffix(".py")
    assert room == "__init__" or inside <= LAB[room] | {room}


def test_no_module_imports_itself_in_a_circle():
    graph = {path: {module_of(name) for name in imported(path)} - {None, path} for path in FILES}
    del graph[Path("__init__.py")]  # the lazy public names
    graph = {path: {to for to in arrows if to in graph} for path, arrows in graph.items()}
    assert sum(map(len, graph.values())) > len(graph)
    assert circle(graph) == []


def test_a_circle_would_be_seen():
    a, b, c = map(Path, "abc")
    assert circle({a: {b}, b: {c}, c: set()}) == []
    assert circle({a: {b}, b: {c}, c: {b}}) == [b, c, b]


def test_no_benchmark_imports_tests_or_the_lab_for_what_lies_on_the_ground():
    for file in (SOURCE.parents[1] / "benchmarks").glob("*.py"):
        text = file.read_text()
        assert "tests" not in {
            name.split(".")[0]
            for node in ast.walk(ast.parse(text))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }, file.name
        assert "lab.records" not in text, file.name


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
sn.recalibrate_, sn.fold, sn.fuse, sn.convert_, sn.freeze_, sn.drop_redundant_biases_
slow = ("torch._dynamo", "rich", "tyro", "scipy", "sklearn", "jinja2", "altair", "yaml")
print(sorted(m for m in slow if m in sys.modules))
"""
    assert fresh(code).split("\n") == ["[]", "[]"]


def test_every_error_is_also_a_built_in():
    for name in sn.errors.__all__:
        error = getattr(sn.errors, name)
        if issubclass(error, UserWarning):
            continue
        assert issubclass(error, sn.errors.SteadyNormError)
        assert name in sn.errors.__doc__, "the tree in the docstring must show it"
        if error is not sn.errors.SteadyNormError:
            assert issubclass(error, ValueError | RuntimeError | TypeError | ImportError)
