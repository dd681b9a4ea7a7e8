"""The C++ of this folder made into a library, once for a machine, by the machine's own compiler, in the user's cache.

An entry of the cache is a folder named by a key of all that the library depends on: sources, torch, flags, compiler
asked for, and what the processor can do, so that unlike machines may share a home. It holds ``library.so`` and a
``manifest.json`` with the library's SHA-256, or ``failed.txt`` with the compiler's words. It is made beside and
renamed, under a lock that the system releases if its holder dies.
"""

import fcntl
import hashlib
import json
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch

__all__ = ["BuildFailed", "Busy", "NoCompiler", "cached", "entry", "library"]

SOURCES = Path(__file__).parent / "csrc"
LIBRARY, MANIFEST, FAILURE = "library.so", "manifest.json", "failed.txt"
COMPILE_SECONDS = 300

_ARM = platform.machine().lower() in ("arm64", "aarch64")
_LINK = ("-undefined", "dynamic_lookup") if sys.platform == "darwin" else ()
# Nothing of -ffast-math: it drops tests for NaN, and a library linked with it makes the process flush denormals to 0.
_TUNED = "-mcpu=native" if _ARM else "-march=native"
FLAGS = ("-std=c++17", "-O2", "-fopenmp-simd", _TUNED, "-fPIC", "-fvisibility=hidden", "-w")
# What float64 is compiled with besides: it serves checks rather than training, and the first call waits for it.
QUICKLY = ("-O1", "-finline-small-functions")


class NoCompiler(Exception):
    """There is no C++ compiler on the path."""


class BuildFailed(Exception):
    """The compiler ended with an error; the text is its words."""


class Busy(Exception):
    """Another process is building."""


def cache() -> Path:
    """Return the folder of all entries: ``$XDG_CACHE_HOME/steadynorm`` or ``~/.cache/steadynorm``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "steadynorm"


def entry() -> Path:
    """Return the folder in the cache for this torch, processor and source; no compiler is looked for."""
    digest = hashlib.sha256()
    machine = (platform.machine(), _processor_features())
    for part in (torch.__version__, *FLAGS, *QUICKLY, os.environ.get("CXX", ""), *machine):
        digest.update(part.encode() + b"\0")
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return cache() / f"kernels-{digest.hexdigest()[:32]}"


def cached(folder: Path) -> Path | None:
    """Return the library of an entry, or None if there is none that is whole and the user's own.

    Raises: BuildFailed if an earlier build failed.
    """
    try:
        for path in (folder.parent, folder):
            if not _is_private(path):
                return None
        failure = folder / FAILURE
        if failure.exists():
            raise BuildFailed(failure.read_text())
        wanted = json.loads((folder / MANIFEST).read_text())["sha256"]
        path = folder / LIBRARY
        whole = _is_private(path) and hashlib.sha256(path.read_bytes()).hexdigest() == wanted
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return path if whole else None


def library(folder: Path, *, wait_seconds: float) -> Path:
    """Return the library of an entry; build it if need be.

    Args:
        wait_seconds: how long to wait for another process that is building.

    Raises: Busy after that time; NoCompiler; BuildFailed; OSError if the cache cannot be written.
    """
    found = cached(folder)
    if found is None:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.parent.chmod(0o700)
        with _lock(folder.parent / "lock", wait_seconds):
            found = cached(folder) or _build(folder)
    return found


def compiler() -> list[str]:
    """Return the command of the C++ compiler: ``$CXX``, or the first of the usual names on the path.

    Raises: NoCompiler.
    """
    asked = shlex.split(os.environ.get("CXX", ""))
    for command in [asked] if asked else [["c++"], ["g++"], ["clang++"]]:
        path = shutil.which(command[0])
        if path is not None:
            return [path, *command[1:]]
    raise NoCompiler("no C++ compiler is on the path" if not asked else f"$CXX is {asked[0]!r}, which is not there")


def _build(folder: Path) -> Path:
    command = compiler()
    print(
        f"steadynorm: building its kernels for this machine with {command[0]}, once, which takes some seconds. They "
        f"are kept in {folder.parent}; STEADYNORM_KERNELS=off does without them.",
        file=sys.stderr,
        flush=True,
    )
    for left in (folder, *folder.parent.glob("building-*")):  # not whole, or not ours; or its builder was killed
        shutil.rmtree(left, ignore_errors=True)
    beside = Path(tempfile.mkdtemp(prefix="building-", dir=folder.parent))  # mode 0700
    try:
        start = time.monotonic()
        words = _compile(command, beside / LIBRARY)
        if words is not None:
            (beside / FAILURE).write_text(words)
        else:
            (beside / LIBRARY).chmod(0o600)
            manifest = {
                "sha256": hashlib.sha256((beside / LIBRARY).read_bytes()).hexdigest(),
                "compiler": command,
                "flags": FLAGS,
                "torch": torch.__version__,
                "seconds": round(time.monotonic() - start, 1),
            }
            (beside / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    if words is not None:
        raise BuildFailed(words)
    return folder / LIBRARY


def _compile(command: list[str], output: Path) -> str | None:
    """Compile the units side by side and link them; return None, or what the compiler said when it failed."""
    home, folder = Path(torch.__file__).parent, output.parent
    units = [("operators.cpp", "operators", ["-isystem", str(home / "include")])]
    types = {"float": (), "bfloat16": (), "double": QUICKLY}
    units += [("kernels.cpp", name, [f"-DSTEADYNORM_TYPE={name}", *more]) for name, more in types.items()]
    lines = [
        [*command, *FLAGS, *options, "-c", str(SOURCES / source), "-o", str(folder / f"{name}.o")]
        for source, name, options in units
    ]
    with ThreadPoolExecutor(len(lines)) as pool:
        words = [said for said in pool.map(_run, lines) if said is not None]
    objects = [folder / f"{name}.o" for _, name, _ in units]
    if not words:
        link = _LINK or (f"-L{home / 'lib'}", "-ltorch_cpu")
        last = _run([*command, "-shared", *map(str, objects), "-o", str(output), *link])
        words = [] if last is None else [last]
    for unit in objects:
        unit.unlink(missing_ok=True)
    return "\n".join(words) or None


def _run(line: list[str]) -> str | None:
    """Run one command; return None, or its words if it failed."""
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"{shlex.join(line)}\ntook more than {COMPILE_SECONDS} seconds"
    return None if done.returncode == 0 else f"{shlex.join(line)}\n{done.stderr}"


def _processor_features() -> str:
    """Return what the processor can do, as the system lists it."""
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line for line in lines if line.lower().startswith(("flags", "features")))
    except (OSError, StopIteration):
        return platform.processor()


def _is_private(path: Path) -> bool:
    status = path.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@contextmanager
def _lock(path: Path, wait_seconds: float) -> Iterator[None]:
    end = time.monotonic() + wait_seconds
    with open(path, "w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise Busy("another process was building") from None
                time.sleep(0.1)
        yield
