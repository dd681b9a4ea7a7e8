"""torch's private names hold what they are taken for: if one of these fails, torch has moved something."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from steadynorm import _torch

# --- for the layers and their kernels ---------------------------------------------------------------------------------


class Double(_torch.SingleLevelFunction):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, dy):
        return 2 * dy


class Halve(_torch.Function):
    forward = staticmethod(lambda ctx, x: x / 2)
    backward = staticmethod(lambda ctx, dy: dy / 2)


@pytest.mark.parametrize(("function", "factor"), [(Double, 2.0), (Halve, 0.5)])
def test_functions(function, factor):
    x = torch.ones(2, requires_grad=True)
    y = function.apply(x)
    assert y.tolist() == [factor] * 2
    y.sum().backward()
    assert x.grad.tolist() == [factor] * 2


def test_a_function_of_one_level_is_what_transforms_refuse():
    assert issubclass(torch.autograd.Function, _torch.SingleLevelFunction)
    with pytest.raises(RuntimeError, match="functorch"):
        torch.func.grad(lambda x: Double.apply(x).sum())(torch.ones(2))


def test_lazy_layers_have_their_base():
    assert all(issubclass(kind, _torch.LazyTorchNorm) for kind in (nn.LazyBatchNorm1d, nn.LazyInstanceNorm2d))


class AnyMode(_torch.Dispatch):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


def test_what_is_no_plain_call():
    told = []

    def ask(x):
        told.append(_torch.plain())
        return x.sum()

    x = torch.ones(2)
    assert _torch.plain()
    torch.func.grad(ask)(x)
    torch.vmap(ask)(x[None])
    with torch.autograd.forward_ad.dual_level():
        ask(x)
    with AnyMode():
        ask(x)
    torch.jit.trace(ask, x, check_trace=False)
    assert told == [False] * 5
    assert _torch.plain()


def test_transforms():
    told = []

    def ask(x):
        told.append(_torch.is_transformed())
        return x.sum()

    torch.func.grad(ask)(torch.ones(2))
    torch.vmap(ask)(torch.ones(1, 2))
    ask(torch.ones(2))
    assert told == [True, True, False]


def test_the_modules_in_which_an_export_is():
    seen = []

    class Asks(torch.nn.Module):
        def forward(self, x):
            scopes, key = _torch.open_scope()
            seen.append((*scopes[key], list(scopes)[-1] == key))
            return x + 1

    model = torch.nn.Sequential(Asks(), torch.nn.Sequential(Asks()))
    program = torch.export.export(model, (torch.ones(2),))
    assert [(path.split(".", 1)[1], *others) for path, *others in seen] == [("0", Asks, True), ("1.0", Asks, True)]
    calls = [list(node.meta["nn_module_stack"].values())[-1] for node in program.graph.nodes if node.op[:4] == "call"]
    name = f"{Asks.__module__}.{Asks.__qualname__}"
    assert calls == [("0", name), ("1.0", name)]
    assert _torch.open_scope() is None


def test_views():
    x = torch.ones(4, requires_grad=True) * 2
    assert _torch.is_view(x[1:])
    assert not _torch.is_view(x)


def test_hooks_that_see_what_is_saved():
    assert not _torch.saves_are_seen()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        assert _torch.saves_are_seen()
    told = []

    def ask(x):
        told.append(_torch.saves_are_seen())
        return x * x

    torch.utils.checkpoint.checkpoint(ask, torch.ones(2, requires_grad=True), use_reentrant=False)
    assert told == [True]


def test_without_the_private_function_saves_count_as_seen(monkeypatch):
    monkeypatch.delattr(torch._C._autograd, "_top_saved_tensors_default_hooks")
    assert _torch.saves_are_seen()


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("runs", [_torch.autograd_runs, _torch._checkpoint_is_on_the_stack])
def test_a_recomputation_is_told_from_the_first_run(runs, reentrant):
    told = []

    def ask(x):
        told.append(runs())
        return x * x

    y = torch.utils.checkpoint.checkpoint(ask, torch.ones(2, requires_grad=True), use_reentrant=reentrant)
    y.sum().backward()
    assert told == [False, True]
    assert not runs()


def test_without_the_private_function_the_stack_is_read(monkeypatch):
    monkeypatch.delattr(torch._C, "_current_graph_task_id")
    assert _torch._graph_task() is _torch._checkpoint_is_on_the_stack


# --- for surgery ------------------------------------------------------------------------------------------------------


def test_the_bases_are_those_of_torchs_normalizations():
    batch_norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
    assert all(issubclass(kind, _torch.TorchBatchNorm) for kind in batch_norms)
    instance_norms = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
    assert all(issubclass(kind, _torch.TorchNorm) for kind in (*batch_norms, *instance_norms))
    assert not any(issubclass(kind, _torch.TorchBatchNorm) for kind in instance_norms)


def test_a_dispatch_mode_sees_what_runs_and_what_is_written():
    seen = []

    class See(_torch.Dispatch):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append((func.__name__, list(_torch.written(func, args))))
            return func(*args, **(kwargs or {}))

    x, y = torch.ones(2), torch.ones(2)
    with See():
        x + y
        x.add_(y)
    assert [(name, len(written)) for name, written in seen] == [("add.Tensor", 0), ("add_.Tensor", 1)]
    assert seen[1][1][0] is x


def test_function_modes_are_left_out():
    calls = []

    class See(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            calls.append(func)
            return func(*args, **(kwargs or {}))

    x = torch.ones(2)
    with See():
        with _torch.without_torch_function():
            x + x
        assert not calls
        x + x
    assert calls


def test_trees():
    a, b = torch.ones(1), torch.zeros(1)
    assert [leaf for leaf in _torch.tree_leaves({"a": [a, (b,)], "c": 1}) if isinstance(leaf, torch.Tensor)] == [a, b]
    assert _torch.tree_map_only(torch.Tensor, lambda t: t + 1, {"a": [a], "c": 1}) == {"a": [a + 1], "c": 1}


def test_what_a_compiler_wraps():
    model = nn.Linear(2, 2)
    assert _torch.unwrapped(torch.compile(model, backend="eager")) is model
    assert _torch.unwrapped(model) is model


def test_names_as_if_nothing_were_compiled():
    model = nn.Sequential(nn.Sequential(torch.compile(nn.Linear(2, 2), backend="eager")))
    compiled = torch.compile(model, backend="eager")
    assert {_torch.plain_name(name) for name in compiled.state_dict()} == {"0.0.weight", "0.0.bias"}
    assert [_torch.plain_name(name) for name, _ in compiled.named_modules()] == ["", "", "0", "0.0", "0.0"]


def test_tables_of_a_module():
    model = nn.Sequential(nn.BatchNorm1d(2, bias=False))
    assert _torch.children_of(model) == {"0": model[0]}
    assert _torch.parameters_of(model[0]) == {"weight": model[0].weight, "bias": None}
    mean = torch.full((2,), 3.0)
    _torch.buffers_of(model[0])["running_mean"] = mean
    assert model[0].running_mean is mean
    _torch.children_of(model)["0"] = nn.Identity()
    assert isinstance(model[0], nn.Identity)


def test_a_forgotten_buffer_leaves_nothing():
    layer = nn.Linear(2, 2)
    before = {name: str(value) for name, value in vars(layer).items()}
    layer.register_buffer("extra", torch.ones(1), persistent=False)
    _torch.forget_buffer(layer, "extra")
    assert {name: str(value) for name, value in vars(layer).items()} == before


def test_hooks():
    layer = nn.Linear(2, 2)
    assert not any(_torch.hook_tables(layer))
    ways = ("forward_pre", "forward", "full_backward_pre", "full_backward")
    for position, way in enumerate(ways):
        handle = getattr(layer, f"register_{way}_hook")(lambda *args: None)
        assert [bool(table) for table in _torch.hook_tables(layer)] == [i == position for i in range(4)]
        handle.remove()
    tables = _torch.module_tables()
    assert {"_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_state_dict_hooks"} <= tables
    assert not tables & {"training", "_parameters", "_buffers", "_modules"}


@pytest.mark.filterwarnings("ignore:`torch.jit.*:DeprecationWarning")
def test_scripted_modules_have_tables_too():
    assert not any(_torch.hook_tables(torch.jit.script(nn.ReLU())))


def test_the_name_that_is_pruned():
    layer = nn.Linear(4, 4)
    prune.l1_unstructured(layer, "weight", amount=2)
    (hook,) = _torch.hook_tables(layer)[0].values()
    assert _torch.pruned_name(hook) == "weight"


def test_storages():
    x = torch.ones(4)
    assert _torch.storage_of(x)[0] == _torch.storage_of(x[1:])[0] != _torch.storage_of(x.clone())[0]
    kept = _torch.storage_of(torch.ones(4))  # the tensor is gone, its address must not be given to another
    assert all(_torch.storage_of(torch.ones(4))[0] != kept[0] for _ in range(20))
