"""Wrong calls, faults, Ctrl-C; and the folded model where this package is not."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch
from torch import nn

import steadynorm as sn
from folding import error_of, outcome, ready, why
from steadynorm.errors import ArgumentError, FoldError, ModelError
from steadynorm.surgery import fold as module_of_fold
from surgery_models import NOTHING_DONE, assert_unchanged, state_of

pytestmark = NOTHING_DONE

X = torch.ones(2, 3, 5, 5)


def small(norm=nn.BatchNorm2d):
    return ready(nn.Sequential(nn.Conv2d(3, 4, 3), norm(4), nn.ReLU(), nn.Conv2d(4, 2, 1), norm(2)))


def lazy():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.LazyBatchNorm2d()).eval()


def scripted():
    with pytest.warns(DeprecationWarning, match="script"):
        return torch.jit.script(small())


def not_copyable():
    model = small()
    model.lock = (i for i in range(3))  # generators cannot be copied
    return model


@pytest.mark.parametrize(
    ("model", "example", "options", "error", "words"),
    [
        (lambda: small().train(), X, {}, ModelError, r"in training mode: call model.eval\(\) first"),
        (small, torch.ones(2, 4, 5, 5), {}, ModelError, "must run on example_inputs, but raised RuntimeError"),
        (small, torch.ones(2, 3, 5, 5).double(), {}, ModelError, "must run on example_inputs"),
        (lambda: small().to("meta"), X, {}, ModelError, "0.weight is on the meta device: load its weights"),
        (lazy, X, {}, ModelError, "must be initialized, but 1.weight is not: run it once"),
        (scripted, X, {}, ModelError, "TorchScript"),
        (not_copyable, X, {}, ModelError, "copy.deepcopy"),
        (lambda: lambda x: x, X, {}, ArgumentError, "must be a torch.nn.Module, received function"),
        (small, [], {}, ArgumentError, "at least one example, received an empty list"),
        (small, None, {}, ArgumentError, "received NoneType"),
        (small, [[X]], {}, ArgumentError, "a list of such, received list"),
        (small, X, {"tolerance": -1.0}, ArgumentError, "tolerance must be 0 or more"),
        (small, X, {"tolerance": float("nan")}, ArgumentError, "received nan"),
        (
            small,
            X,
            {"tolerance": 1e-12},
            FoldError,
            r"within 1.0e-12 .* differs by .* at (1|4|the output): start from model.double",
        ),
    ],
)
def test_wrong_calls(model, example, options, error, words):
    model = model()
    whole = type(model) is nn.Sequential and not any(p.is_meta or nn.parameter.is_lazy(p) for p in model.parameters())
    before = state_of(model) if whole else None
    with pytest.raises(error, match=words):
        sn.fold(model, example, **options)
    if before is not None:
        assert_unchanged(model, before)


@pytest.mark.parametrize("model", [nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4)), nn.ReLU(), nn.Linear(5, 4).train()])
def test_without_batch_norm_the_report_is_empty(model):
    folded, report = sn.fold(model, torch.ones(2, 5))
    assert len(report) == 0
    assert "no batch norm" in str(report)
    assert folded is not model
    assert error_of(folded, model, torch.ones(2, 5)) == 0


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(3), sn.nn.BatchNorm2d(3)])
def test_the_model_may_itself_be_the_layer(norm):
    folded, report = sn.fold(ready(norm), X)
    assert outcome(report) == {"(the model)": None}
    assert "outside of the model" in why(report)["(the model)"]
    assert type(folded) is type(norm)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:torch.quantize")
def test_quantized_layers_are_opaque():
    class Quantized(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.dense = nn.BatchNorm1d(5), nn.Linear(5, 4)

        def forward(self, x):
            return self.dense(self.norm(x))

    model = torch.ao.quantization.quantize_dynamic(ready(Quantized()), {nn.Linear})
    _, report = sn.fold(model, torch.ones(2, 5))
    assert outcome(report) == {"norm": None}
    assert "linear" in why(report)["norm"]


def test_scripted_layers_are_opaque():
    with pytest.warns(DeprecationWarning, match="script"):
        inner = torch.jit.script(nn.Conv2d(3, 3, 1).eval())
    _, report = sn.fold(ready(nn.Sequential(inner, nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1))), X)
    assert outcome(report) == {"1": "2"}


@pytest.mark.parametrize("compiled", ["whole", "inside", "in place"])
def test_compiled_models_are_folded_as_they_are_written(compiled):
    model = small()
    inner = nn.Sequential(model, nn.Tanh()).eval()
    if compiled == "in place":
        inner.compile(backend="eager")
        given = inner
    elif compiled == "inside":
        given = nn.Sequential(torch.compile(model, backend="eager"), nn.Tanh()).eval()
    else:
        given = torch.compile(inner, backend="eager")
    folded, report = sn.fold(given, X)
    assert outcome(report) == {"0.1": "0.0", "0.4": "0.3"}
    assert type(folded) is nn.Sequential
    assert type(folded[0]) is nn.Sequential
    assert error_of(folded, inner, X) < 1e-5


class Failing(nn.Module):
    """Raises in its n-th forward, counted over all copies; and changes what a forward can change."""

    calls = 0

    def __init__(self, at, error):
        super().__init__()
        self.at, self.error = at, error
        self.seen = []
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        self.seen.append(torch.rand(1))
        self.count += 1
        Failing.calls += 1
        if Failing.calls == self.at:
            raise self.error
        return x


def test_every_forward_of_the_tool_may_fail():
    Failing.calls = 0
    sn.fold(nn.Sequential(small(), Failing(0, None)).eval(), X)
    for at in range(1, Failing.calls + 1):
        for error in (KeyboardInterrupt(), ZeroDivisionError("no")):
            Failing.calls = 0
            failing = Failing(at, error)
            model = nn.Sequential(small(), failing).eval()
            before = state_of(model)
            if isinstance(error, KeyboardInterrupt):
                with pytest.raises(KeyboardInterrupt):
                    sn.fold(model, X)
            elif at == 1:  # the traced run; without the tracing it does not fail
                assert "tracing failed: the model must run" in why(sn.fold(model, X)[1])["0.1"]
            elif at <= 3:  # runs in other sizes, which a model need not take
                assert outcome(sn.fold(model, X)[1]) == {"0.1": "0.0", "0.4": "0.3"}
            else:
                with pytest.raises(ModelError):
                    sn.fold(model, X)
            assert_unchanged(model, before)
            assert not failing.seen


@pytest.mark.parametrize("error", [FoldError("no"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["duplicate", "trace", "Plan", "bake", "prove", "tail"])
def test_whichever_step_fails_the_model_is_as_it_was(step, error, monkeypatch):
    def fail(*args, **kwargs):
        raise error

    model = small()
    before = state_of(model)
    monkeypatch.setattr(module_of_fold, step, fail)
    with pytest.raises(type(error)):
        sn.fold(model, X)
    assert_unchanged(model, before)


def test_the_folded_model_is_fresh():
    """What a forward leaves in a module is not in the one that is handed back."""
    Failing.calls = 0
    folded, _ = sn.fold(nn.Sequential(small(), Failing(0, None)).eval(), X)
    assert not folded[1].seen
    assert folded[1].count == 0


def test_a_fold_that_is_wrong_is_refused():
    """A list that is no module list holds the batch norm a second time: replacing it in one place is not enough."""

    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
            self.steps = [self.conv, self.norm]

        def forward(self, x):
            for step in self.steps:
                x = step(x)
            return x

    with pytest.raises(FoldError, match="at norm"):
        sn.fold(ready(Hidden()), X)


def test_a_folded_model_that_asks_its_batch_norm_is_refused():
    class Asks(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, x):
            return self.norm(self.conv(x)) * self.norm.eps

    with pytest.raises(FoldError, match=r"does not run where the original does.*no attribute 'eps'"):
        sn.fold(ready(Asks()), X)


# --- where steadynorm is not installed --------------------------------------------------------------------------------

BLOCKED = """
import sys
sys.modules["steadynorm"] = None
import torch
x = torch.linspace(-1, 1, 150).reshape(2, 3, 5, 5)
"""


def elsewhere(code, path):
    """What a process that cannot import this package computes, as a list of numbers."""
    ending = "\nprint(model(x).flatten().tolist())"
    code = BLOCKED + code.format(path=path) + ending
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return torch.tensor(eval(done.stdout))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), sn.nn.BatchNorm2d(3, activation="relu")

    def forward(self, x):
        return self.norm(self.conv(x), x)


@pytest.mark.parametrize("model", [small(lambda c: sn.nn.BatchNorm2d(c, activation="gelu")), ready(Residual())])
def test_an_exported_program_holds_aten_operators_only_and_loads_without_us(model, tmp_path):
    folded, _ = sn.fold(model, X)
    program = torch.export.export(folded, (X,))
    calls = [node.target for node in program.graph.nodes if node.op == "call_function"]
    assert {target.namespace for target in calls} == {"aten"}
    assert not any("batch_norm" in str(target) for target in calls)
    torch.export.save(program, tmp_path / "m.pt2")
    x = torch.linspace(-1, 1, 150).reshape(2, 3, 5, 5)
    found = elsewhere("model = torch.export.load({path!r}).module()", str(tmp_path / "m.pt2"))
    torch.testing.assert_close(found, model(x).detach().flatten(), rtol=1e-4, atol=1e-5)


def test_a_folded_model_of_torchs_layers_unpickles_without_us(tmp_path):
    model = small(lambda c: sn.nn.BatchNorm2d(c, activation="silu"))
    folded, _ = sn.fold(model, X)
    (tmp_path / "m.pickle").write_bytes(pickle.dumps(folded))
    x = torch.linspace(-1, 1, 150).reshape(2, 3, 5, 5)
    found = elsewhere("import pickle; model = pickle.load(open({path!r}, 'rb'))", str(tmp_path / "m.pickle"))
    torch.testing.assert_close(found, model(x).detach().flatten(), rtol=1e-4, atol=1e-5)


def test_a_folded_model_copies_trains_and_saves():
    model = small()
    folded, _ = sn.fold(model, X)
    twin = copy.deepcopy(folded).train()
    twin(X).sum().backward()
    assert all(p.grad is not None for p in twin.parameters())
    assert list(folded.state_dict()) == ["0.weight", "0.bias", "3.weight", "3.bias"]
