"""Batch norms that take an addition or an activation of the forward that calls them, which is written anew for it.

Where a module ends with the batch norm, such as a ``Sequential``, it takes the residual for it, and hands it on.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..._torch import hook_tables, tree_map_only
from ..change import Left, transaction
from ..dataflow.copying import duplicate
from ..dataflow.examples import Example, run
from .activations import activation_of_call, activation_of_module
from .forward import forward_of, give_forward, hand_on
from .proof import TOLERANCE, differences

__all__ = ["Taken", "inputs_of", "take"]

ADDITIONS: tuple[Any, ...] = (operator.add, operator.iadd, torch.add, "add", "add_")


@dataclass(frozen=True)
class Taken:
    """What a batch norm has taken."""

    activation: str | None
    residual: bool
    why: str | None
    """Why not the activation, where one follows."""


def inputs_of(model: nn.Module, names: Sequence[str], examples: Sequence[Example]) -> dict[str, list[Example]]:
    """Return for each of these modules what its first call in each run of the model in training is given."""
    if not names:
        return {}
    copy = duplicate(model).train()
    found: dict[str, list[Example]] = {name: [] for name in names}

    def remember(name: str, count: int) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            if len(found[name]) == count:
                found[name].append(Example(*tree_map_only(Tensor, lambda t: t.detach().clone(), (args, kwargs))))

        return hook

    for example in examples:
        handles = [
            copy.get_submodule(name).register_forward_pre_hook(remember(name, len(found[name])), with_kwargs=True)
            for name in names
        ]
        run(copy, example)
        for handle in handles:
            handle.remove()
    return found


def take(block: nn.Module, norms: Mapping[str, Any], examples: Sequence[Example]) -> dict[str, Taken | str]:
    """Let batch norms take what follows them in the forward of a module, which stays as it is if none does.

    Args:
        block: a module of the model.
        norms: those that its forward calls, by name.
        examples: what the module is given.

    Returns: what each has taken, or why nothing.
    """
    found: dict[str, Taken | str] = {}
    for name, norm in norms.items():
        try:
            _takes(forward_of(block).graph, block, norm)
        except Left as left:
            found[name] = str(left)
    rest = {name: norm for name, norm in norms.items() if name not in found}
    try:
        return found | _take_all(block, rest, examples)
    except Left:
        pass
    for name, norm in rest.items():  # which one it is that differs
        try:
            found |= _take_all(block, {name: norm}, examples)
        except Left as left:
            found[name] = str(left)
    return found


def _take_all(block: nn.Module, norms: Mapping[str, Any], examples: Sequence[Example]) -> dict[str, Taken]:
    """Let all of them take; raise if the module then computes something else, and leave it as it was."""
    if not norms:
        return {}
    before = duplicate(block)
    found, took = {}, {}
    with transaction(block):
        forward = forward_of(block)
        for name, norm in norms.items():
            match = _takes(forward.graph, block, norm)
            found[name] = match.taken
            norm.activation = took[match.path] = match.taken.activation
            match.apply(forward.graph)
            if match.path != match.norm.target:
                target = str(match.norm.target)
                hand_on(block.get_submodule(target), match.path[len(target) + 1 :])
        give_forward(block, forward, took)
        for example in examples:
            for training in (True, False):
                _compare(before, block, example, training)
    return found


def _compare(before: nn.Module, block: nn.Module, example: Example, training: bool) -> None:
    try:
        worst = differences(before, block, example, training)
    except RuntimeError as error:  # of ours, or autograd's own
        raise Left(str(error).splitlines()[0]) from None
    for kind, difference in worst.items():
        if not difference <= TOLERANCE:
            mode = "training" if training else "evaluation"
            raise Left(f"{kind} of {type(before).__name__} would differ by {difference:.1e} in {mode}")


@dataclass(frozen=True)
class _Match:
    """A batch norm in a graph, and what it takes."""

    path: str
    """The batch norm's, within the block."""
    norm: fx.Node
    """The call of the batch norm, or of a module that ends with it."""
    residual: fx.Node | None
    place: fx.Node
    """Where the norm is to be called: the addition, if there is one."""
    last: fx.Node
    """Whose value the norm is to give."""
    gone: list[fx.Node]
    """The calls that there will be no more, in order; the first is the norm's."""
    taken: Taken

    def apply(self, graph: fx.Graph) -> None:
        """Change the graph."""
        given: dict[str, Any] = {} if self.residual is None else {"residual": self.residual}
        with graph.inserting_before(self.place):
            new = graph.call_module(str(self.norm.target), self.norm.args, {**self.norm.kwargs, **given})
        self.last.replace_all_uses_with(new)
        for node in reversed(self.gone):
            graph.erase_node(node)


def _takes(graph: fx.Graph, block: nn.Module, norm: nn.Module) -> _Match:
    """Find what follows a batch norm; raise if that is nothing it could take."""
    path = next(name for name, module in block.named_modules() if module is norm)
    calls = [node for node in graph.nodes if node.op == "call_module" and f"{path}.".startswith(f"{node.target}.")]
    if len(calls) != 1:
        raise Left(f"{path} is called {len(calls)} times in the forward of {type(block).__name__}")
    inside = None if calls[0].target == path else f"{calls[0].target}, called alone, would give something else"
    gone = [calls[0]]
    after = _next(gone, block)
    place, residual = calls[0], None
    if after is not None and after.target in ADDITIONS:
        place, residual = after, _residual(after, gone[-1])
        gone.append(after)
        after = _next(gone, block)
    activation = why = None
    if after is not None:
        activation, why = _activation(after, gone[-1], block)
        if activation is not None and inside:
            activation, why = None, inside
    if activation is not None and after is not None:
        gone.append(after)
    elif residual is None:
        raise Left(why or f"no activation or addition follows in the forward of {type(block).__name__}")
    return _Match(path, calls[0], residual, place, gone[-1], gone, Taken(activation, residual is not None, why))


def _next(gone: list[fx.Node], block: nn.Module) -> fx.Node | None:
    """Return the only call that takes a value, behind modules that do nothing, which are gone as well."""
    while len(gone[-1].users) == 1:
        (user,) = gone[-1].users
        if not (user.op == "call_module" and type(_module(block, user)) is nn.Identity and _is_bare(user, block)):
            return None if user.op == "output" else user
        gone.append(user)
    return None


def _module(block: nn.Module, node: fx.Node) -> nn.Module:
    return block.get_submodule(str(node.target))


def _is_bare(node: fx.Node, block: nn.Module) -> bool:
    """Tell whether a module is called with its input alone, and no hook sees it."""
    return len(node.args) == 1 and not node.kwargs and not any(hook_tables(_module(block, node)))


def _residual(addition: fx.Node, given: fx.Node) -> fx.Node:
    """Return what is added; raise if the norm cannot do the addition."""
    if len(addition.args) != 2 or addition.kwargs:
        raise Left("the addition has more than two arguments")
    residual = addition.args[1 if addition.args[0] is given else 0]
    if not isinstance(residual, fx.Node) or residual is given:
        raise Left("what is added is no other tensor")
    if addition.target in (operator.iadd, "add_") and addition.args[0] is residual:
        raise Left("it is added in place to another tensor, which others may look at")
    return residual


def _activation(node: fx.Node, given: fx.Node, block: nn.Module) -> tuple[str | None, str | None]:
    """Return which activation a call is, or why it stays, though it is one."""
    if node.op == "call_module":
        module = _module(block, node)
        name = activation_of_module(module)
        if name is not None and any(hook_tables(module)):
            return None, f"{node.target} has a hook, which would see other values"
        return (name if _is_bare(node, block) else None), None
    others = (*node.args[1:], *node.kwargs.values())
    if node.op not in ("call_function", "call_method") or any(isinstance(v, fx.Node) for v in others):
        return None, None
    if not node.args or node.args[0] is not given:
        return None, None
    return activation_of_call(node.target, node.args[1:], dict(node.kwargs)), None
