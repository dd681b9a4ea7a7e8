"""The build and its cache: once, whole, the user's own; everything that goes wrong ends at torch's operators."""

import hashlib
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
import torch._inductor.config  # reads CXX when it is imported: not one of ours below
from torch.utils.checkpoint import checkpoint

from steadynorm.kernels import build, library

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kernels are built on POSIX systems only")


def script(path, body):
    path.write_text(f"#!{sys.executable}\nimport pathlib, sys\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache, and a compiler that writes its own name, and counts in a file how often it linked."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    compiler = script(
        tmp_path / "cxx",
        "out = pathlib.Path(sys.argv[sys.argv.index('-o') + 1])\nout.write_text('a library')\n"
        f"if '-shared' in sys.argv: open({str(tmp_path / 'links')!r}, 'a').write('x')",
    )
    monkeypatch.setenv("CXX", compiler)
    return tmp_path


def links(home):
    return (home / "links").stat().st_size if (home / "links").exists() else 0


def test_an_entry_is_made_once_and_found_again(home, capsys):
    folder = build.entry()
    assert build.cached(folder) is None
    (folder.parent / "building-killed").mkdir(parents=True)
    path = build.library(folder, wait_seconds=0)
    assert path.read_text() == "a library"
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "building its kernels" in err
    assert str(home / "cxx") in err
    assert "STEADYNORM_KERNELS=off" in err
    assert build.library(folder, wait_seconds=0) == build.cached(folder) == path
    assert links(home) == 1
    assert capsys.readouterr().err == ""
    for where in (folder.parent, folder):
        assert stat.S_IMODE(where.stat().st_mode) == 0o700
    assert {p.name for p in folder.iterdir()} == {"library.so", "manifest.json"}
    assert {p.name for p in folder.parent.iterdir()} == {folder.name, "lock"}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["sha256"] == hashlib.sha256(b"a library").hexdigest()
    assert manifest["torch"] == torch.__version__


def test_finding_an_entry_looks_for_no_compiler(home, monkeypatch):
    folder = build.entry()
    build.library(folder, wait_seconds=0)
    (home / "cxx").unlink()
    assert build.library(build.entry(), wait_seconds=0).exists()


def test_the_key_holds_all_that_the_library_depends_on(home, monkeypatch, tmp_path):
    keys = {build.entry()}
    monkeypatch.setattr(build.torch, "__version__", "9.9.9")
    keys.add(build.entry())
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-g"))
    keys.add(build.entry())
    monkeypatch.setattr(build, "_processor_features", lambda: "flags: abacus")
    keys.add(build.entry())
    monkeypatch.setenv("CXX", "another")
    keys.add(build.entry())
    sources = tmp_path / "csrc"
    sources.mkdir()
    (sources / "kernels.cpp").write_text("int main;")
    monkeypatch.setattr(build, "SOURCES", sources)
    keys.add(build.entry())
    (sources / "kernels.cpp").write_text("int main, more;")
    keys.add(build.entry())
    assert len(keys) == 7
    assert build.entry() in keys


def test_flags_that_lose_nan_are_not_among_ours():
    words = " ".join(build.FLAGS)
    for flag in ("-ffast-math", "-Ofast", "-funsafe-math-optimizations", "-ffinite-math-only"):
        assert flag not in words


@pytest.mark.parametrize("damage", ["truncated", "other bytes", "no manifest", "bad manifest", "writable by others"])
def test_what_is_not_whole_or_not_ours_is_built_again(home, damage):
    folder = build.entry()
    path = build.library(folder, wait_seconds=0)
    {
        "truncated": lambda: path.write_text("a lib"),
        "other bytes": lambda: path.write_text("A library"),
        "no manifest": lambda: (folder / "manifest.json").unlink(),
        "bad manifest": lambda: (folder / "manifest.json").write_text("[]"),
        "writable by others": lambda: folder.chmod(0o777),
    }[damage]()
    assert build.cached(folder) is None
    assert build.library(folder, wait_seconds=0).read_text() == "a library"
    assert links(home) == 2
    assert build.cached(folder)


def test_another_users_entry_is_not_loaded(home, monkeypatch):
    folder = build.entry()
    build.library(folder, wait_seconds=0)
    monkeypatch.setattr(build.os, "geteuid", lambda: os.getuid() + 1)
    assert build.cached(folder) is None


def test_a_failing_build_is_remembered_with_the_compilers_words(home, monkeypatch):
    broken = script(home / "cxx", "sys.stderr.write('no such header'); sys.exit(3)")
    folder = build.entry()
    with pytest.raises(build.BuildFailed, match="no such header"):
        build.library(folder, wait_seconds=0)
    Path(broken).unlink()  # it is not asked again
    with pytest.raises(build.BuildFailed, match="no such header"):
        build.library(folder, wait_seconds=0)
    assert not list(folder.parent.glob("building-*"))


def test_without_a_compiler(home, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler -O0")
    with pytest.raises(build.NoCompiler, match="'no-such-compiler'"):
        build.compiler()
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(home))
    with pytest.raises(build.NoCompiler, match="no C\\+\\+ compiler"):
        build.library(build.entry(), wait_seconds=0)


def test_while_another_builds_one_waits_no_longer_than_asked(home):
    folder = build.entry()
    folder.parent.mkdir(parents=True)
    with build._lock(folder.parent / "lock", 0):
        with pytest.raises(build.Busy):
            build.library(folder, wait_seconds=0)
        with pytest.raises(build.Busy):
            build.library(folder, wait_seconds=0.3)
        found = []
        waiting = threading.Thread(target=lambda: found.append(build.library(folder, wait_seconds=60)))
        waiting.start()
    waiting.join()
    assert found == [folder / "library.so"]


def test_many_processes_build_once(home):
    code = "from steadynorm.kernels import build; print(build.library(build.entry(), wait_seconds=60))"
    runs = [
        subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    paths = {run.communicate()[0] for run in runs}
    assert {run.returncode for run in runs} == {0}
    assert len(paths) == 1
    assert links(home) == 1


# --- the state of a process -------------------------------------------------------------------------------------------


@pytest.fixture
def fresh(home, monkeypatch):
    """A process that has not tried yet, and loads whatever is built."""
    for name, value in {
        "loaded": False,
        "settled": False,
        "next_try": 0.0,
        "forked": False,
        "words": "fresh",
        "failure": "",
    }.items():
        monkeypatch.setattr(library._State, name, value)
    loads = []
    monkeypatch.setattr(library.torch.ops, "load_library", loads.append)
    monkeypatch.delenv("STEADYNORM_KERNELS", raising=False)
    return loads


def test_the_first_call_builds_and_later_ones_only_ask(fresh, home):
    assert not library.loaded()
    assert library.ready()
    assert library.ready()
    assert library.load()
    assert library.loaded()
    assert len(fresh) == links(home) == 1
    assert library.status() == f"loaded: {build.entry().name}"


@pytest.mark.parametrize("word", ["off", "OFF", "0", "no"])
def test_switched_off(fresh, home, monkeypatch, word):
    monkeypatch.setenv("STEADYNORM_KERNELS", word)
    assert not library.ready()
    assert "STEADYNORM_KERNELS" in library.status()
    assert links(home) == 0


def test_a_failing_build_warns_once_and_status_has_the_words(fresh, home):
    script(home / "cxx", "sys.stderr.write('no such header\\nan error, and more'); sys.exit(3)")
    with pytest.warns(RuntimeWarning, match="torch's own operators serve instead") as caught:
        assert not library.ready()
    assert len(caught) == 1
    assert str(build.entry()) in str(caught[0].message)
    assert str(caught[0].message).endswith("It says: an error, and more")
    assert "no such header\nan error, and more" in library.failure()
    assert str(home) not in library.status()
    assert library.status().startswith("none")
    assert not library.ready()  # a second warning would be an error here


def test_no_compiler_is_no_reason_to_warn(fresh, monkeypatch, home):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not library.ready()
    assert "no-such-compiler" in library.status()


def test_a_library_that_does_not_load_falls_back(fresh, monkeypatch):
    def refuse(path):
        raise OSError("invalid ELF header")

    monkeypatch.setattr(library.torch.ops, "load_library", refuse)
    with pytest.warns(RuntimeWarning, match="invalid ELF header"):
        assert not library.ready()


def test_a_cache_that_cannot_be_written_falls_back(fresh, home, monkeypatch):
    (home / "cache").write_text("a file where the folder should be")
    with pytest.warns(RuntimeWarning, match="cannot be used"):
        assert not library.ready()


def test_while_another_process_builds_torchs_operators_serve(fresh, home, monkeypatch):
    folder = build.entry()
    folder.parent.mkdir(parents=True)
    with build._lock(folder.parent / "lock", 0):
        assert not library.ready()
        assert "another process was building" in library.status()
        assert not library.load(wait_seconds=0.1)
    monkeypatch.setattr(library._State, "next_try", 0.0)
    assert library.ready()


def test_while_another_thread_builds_torchs_operators_serve(fresh):
    with library._State.lock:
        assert not library.ready()
    assert library.ready()


def test_kernels_that_come_late_do_not_part_a_forward_from_its_recomputation(fresh, home, monkeypatch):
    folder = build.entry()
    folder.parent.mkdir(parents=True)
    with build._lock(folder.parent / "lock", 0):
        assert not library.ready()
        x = torch.ones(3, requires_grad=True)
        checkpoint(lambda v: v * (1 + library.ready()), x, use_reentrant=False).sum().backward()
    assert (x.grad == 1).all()
    monkeypatch.setattr(library._State, "next_try", 0.0)
    assert not library.ready()
    assert "began under a checkpoint when another process was building" in library.status()


@pytest.mark.parametrize("where", ["forked child", "loader's worker"])
def test_children_build_nothing_but_load_what_is_there(fresh, home, monkeypatch, where):
    if where == "forked child":
        library._after_fork()
    else:
        monkeypatch.setattr(library, "get_worker_info", lambda: object())
    assert not library.ready()
    assert links(home) == 0
    build.library(build.entry(), wait_seconds=0)
    assert not library.ready()  # a second has not passed
    monkeypatch.setattr(library._State, "next_try", 0.0)
    assert library.ready()


def test_a_fork_is_noticed():
    code = """
import os
from steadynorm.kernels import library
child = os.fork()
if child == 0:
    os._exit(0 if library._State.forked else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), library._State.forked)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "False"]


def test_tracing_builds_nothing(fresh, home):
    import steadynorm as sn

    torch.compile(sn.nn.BatchNorm1d(3), backend="eager")(torch.randn(4, 3))
    assert links(home) == 0
    torch._dynamo.reset()
