"""Break the formulas one at a time and see the tests fail.

    python tools/mutants.py [FILE ...]      default: every file of src/steadynorm/functional

A mutant is one change in the syntax tree: an operator, a sign, a constant, a comparison, a condition, the biased
variance for the unbiased, the place of ε. Each runs against tests/functional in a process of its own. A mutant that no
test notices survives, and the command fails, unless ``equivalent_mutants.toml`` proves that it changes nothing.
"""

import ast
import contextlib
import copy
import os
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "steadynorm"
TESTS = ROOT / "tests" / "functional"
SECONDS = 180  # a mutant that loops is killed then, by which its test has failed

EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")

SWAPS: dict[type, tuple[type, ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt,),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt,),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}
NAMES = {  # attributes and methods that are easily mistaken for each other
    "var": ("unbiased_var",),
    "unbiased_var": ("var",),
    "sqrt": ("rsqrt", "square"),
    "rsqrt": ("sqrt",),
    "square": ("abs",),
    "sum": ("mean",),
    "all": ("any",),
    "zeros_like": ("ones_like",),
    "ones_like": ("zeros_like",),
    "new_ones": ("new_zeros",),
    "isfinite": ("isnan",),
    "float32": ("float16",),
    "float64": ("float32",),
    "reciprocal": ("negative",),
}


@dataclass(frozen=True)
class Mutant:
    """One change of one file."""

    file: Path
    line: int
    was: str
    now: str
    source: str

    @property
    def key(self) -> str:
        """What the list of equivalents calls it."""
        return f"{self.file.name}: {self.was} -> {self.now}"


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what this node could be by mistake."""

    def altered(**fields: object) -> ast.AST:
        twin = copy.deepcopy(node)
        for name, value in fields.items():
            setattr(twin, name, value)
        return twin

    match node:
        case ast.BinOp(op=op, left=left, right=right):
            yield from (altered(op=other()) for other in SWAPS.get(type(op), ()))
            if isinstance(op, ast.Sub | ast.Div):
                yield altered(left=right, right=left)
        case ast.BoolOp(op=op):
            yield from (altered(op=other()) for other in SWAPS[type(op)])
        case ast.Compare(ops=[op]):
            yield from (altered(ops=[other()]) for other in SWAPS.get(type(op), ()))
        case ast.UnaryOp(operand=operand):  # −x, ~x, not x
            yield operand
        case ast.Constant(value=bool() as value):
            yield altered(value=not value)
        case ast.Constant(value=int() | float() as value):
            yield altered(value=value + 1)
            if value:
                yield altered(value=-value)
        case ast.Attribute(attr=name) if name in NAMES:
            yield from (altered(attr=other) for other in NAMES[name])
        case ast.IfExp(body=body, orelse=orelse):
            yield body
            yield orelse
        case ast.If(test=test):
            yield altered(test=ast.UnaryOp(ast.Not(), test))
            yield altered(test=ast.Constant(False))
        case ast.Expr(value=ast.Call() as call):  # a check that is not made
            yield altered(value=ast.Constant(None))
            del call
        case ast.Call(func=ast.Attribute(attr="where"), args=[condition, a, b]):
            yield altered(args=[condition, b, a])
            yield a
    match node:
        case ast.Call(
            func=ast.Attribute(
                value=ast.BinOp(left=inside, op=ast.Add(), right=ast.Name("eps")), attr="sqrt" | "rsqrt" as root
            )
        ):  # ε beside the root
            beside = ast.BinOp(
                ast.Call(ast.Attribute(inside, "sqrt", ast.Load()), [], []), ast.Add(), ast.Name("eps", ast.Load())
            )
            yield beside if root == "sqrt" else ast.BinOp(ast.Constant(1), ast.Div(), beside)


def annotations(tree: ast.AST) -> set[ast.AST]:
    """Nodes that no run evaluates to a value: types, and docstrings."""
    roots: list[ast.AST | None] = []
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef():
                roots += [node.returns, *(a.annotation for a in (*node.args.args, *node.args.kwonlyargs))]
            case ast.AnnAssign(annotation=annotation):
                roots.append(annotation)
            case ast.Expr(value=ast.Constant(value=str()) as text):
                roots.append(text)
            case ast.Raise():
                roots.append(node)  # what a message says
    return {inner for root in roots if root is not None for inner in ast.walk(root)}


def mutants(file: Path) -> Iterator[Mutant]:
    """Yield every mutant of a file."""
    text = file.read_text()
    tree = ast.parse(text)
    skipped = annotations(tree)
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    for node in ast.walk(tree):
        if node in skipped:
            continue
        for changed in changes(node):
            parent = parents[node]
            for name, value in ast.iter_fields(parent):
                index = value.index(node) if isinstance(value, list) and node in value else None
                if value is not node and index is None:
                    continue
                statement: ast.AST = node
                while not isinstance(statement, ast.stmt):
                    statement = parents[statement]
                head = statement
                was = ast.unparse(head).split("\n")[0]
                if index is None:
                    setattr(parent, name, changed)
                else:
                    value[index] = changed
                replaced = changed if head is node else head
                now = ast.unparse(ast.fix_missing_locations(replaced)).split("\n")[0]
                source = ast.unparse(ast.fix_missing_locations(tree))
                if index is None:
                    setattr(parent, name, node)
                else:
                    value[index] = node
                if now != was:
                    yield Mutant(file, statement.lineno, was, now, source)


def run_tests(mutant: Mutant | None) -> int:
    """Run the tests against a mutant in a child process; return pytest's exit code, or 1 for a mutant that hangs."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "steadynorm"
        shutil.copytree(SOURCE, tree, ignore=shutil.ignore_patterns("__pycache__", "lab", "pages", "cli"))
        if mutant is not None:
            (tree / mutant.file.relative_to(SOURCE)).write_text(mutant.source)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = in_child(folder, mutant)
            finally:
                os._exit(code)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return 1


def in_child(package: str, mutant: Mutant | None) -> int:
    """Run pytest on the package in this folder, silently: the mutated file's own tests, then all."""
    import pytest

    sys.path.insert(0, package)
    sys.dont_write_bytecode = True
    os.environ["HYPOTHESIS_PROFILE"] = "mutants"
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    paths = [TESTS]
    if mutant is not None:
        paths.insert(0, TESTS / f"test_{mutant.file.name.removeprefix('_')}")
    for path in filter(Path.exists, paths):
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--assert=plain", "--rootdir", str(ROOT)]
        code = int(pytest.main([*options, str(path)]))
        if code:
            return code
    return 0


def main(arguments: list[str]) -> int:
    import hypothesis  # once, in the parent: a child starts with these imported  # noqa: F401
    import pytest  # noqa: F401
    import torch._dynamo
    import torch.testing

    torch.set_num_threads(1)
    formulas = [file for file in sorted((SOURCE / "functional").glob("*.py")) if file.name != "__init__.py"]
    files = [Path(a).resolve() for a in arguments] or formulas
    every = [mutant for file in files for mutant in mutants(file)]
    if run_tests(None) != 0:
        print("the tests fail on the package as it is: mend that first")
        return 1
    listed = tomllib.loads(EQUIVALENT.read_text())["mutant"]
    reasons = {f"{m['file']}: {m['was']} -> {m['now']}": m["because"] for m in listed}
    survivors, excused = [], []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, (mutant, code) in enumerate(zip(every, pool.map(run_tests, every), strict=True), start=1):
            if number % 50 == 0:
                print(f"{number} of {len(every)} mutants", file=sys.stderr)
            if code:
                continue
            if mutant.key in reasons:
                excused.append(mutant)
                print(f"equivalent  {mutant.key}\n            {reasons[mutant.key]}", flush=True)
            else:
                survivors.append(mutant)
                print(f"SURVIVED    line {mutant.line} of {mutant.key}", flush=True)
    stale = reasons.keys() - {m.key for m in excused} if not arguments else set()
    for key in sorted(stale):
        print(f"STALE       {key}: no such mutant survives, take it off the list")
    killed = len(every) - len(survivors) - len(excused)
    print(f"{len(every)} mutants: {killed} killed, {len(excused)} equivalent, {len(survivors)} survived")
    return 1 if survivors or stale else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
    sys.exit(130)
