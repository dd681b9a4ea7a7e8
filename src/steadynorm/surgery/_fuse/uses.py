"""Who takes what a batch norm gives, in training and in evaluation; layers are asked for by their names."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ..._torch import hook_tables
from ...nn.base import NormBase
from ...nn.finishing import ACTIVATIONS
from ..change import Left
from ..dataflow.copying import duplicate
from ..dataflow.examples import Example
from ..dataflow.tracing import KEPT, trace
from ..dataflow.values import Call
from .activations import activation_of_module

__all__ = ["Uses"]


ADDING = ("add", "iadd", "radd")


class Uses:
    """The data flow of a model in both modes.

    Args:
        model: its batch norms are ours already. It is not touched: copies run.
        examples: what it is run on.
    """

    def __init__(self, model: nn.Module, examples: Sequence[Example]) -> None:
        self.modules = dict(model.named_modules())
        self.calls: dict[str, list[Call]] = {}
        """Of each batch norm and each activation, in both modes."""
        self.names: dict[nn.Module, str] = {}
        """Of every module of the copies that ran."""
        self._unsure: dict[str, str] = {}
        for training in (True, False):
            copy = duplicate(model).train(training)
            names = {module: name for name, module in copy.named_modules()}
            flow = trace(copy, examples, _is_of_interest, gradients=True)
            for module, calls in flow.calls.items():
                self.calls.setdefault(names[module], []).extend(calls)
            for module, why in flow.unsure.items():
                self._unsure |= {names[inner]: why for inner in module.modules()}
            self.names |= names

    def check(self, name: str) -> None:
        """Raise if a batch norm or an activation does not compute what its class does, or others look at it."""
        if not self.calls.get(name):
            raise Left(self._unsure.get(name, "did not run on the examples"))
        if name in self._unsure:
            raise Left(self._unsure[name])
        if any(hook_tables(self.modules[name])):
            raise Left(f"{name} has a hook, which would see other values")
        if not all(call.bare for call in self.calls[name]):
            raise Left(f"{name} is given more than its input")

    def check_norm(self, name: str) -> None:
        """Raise if a batch norm is none that an activation could be given to."""
        norm = self.modules[name]
        if not isinstance(norm, NormBase) or type(norm).forward is not NormBase.forward or "forward" in vars(norm):
            raise Left(f"{type(norm).__name__} overrides forward")
        if norm.activation is not None:
            raise Left(f"has an activation already, {norm.activation}")
        self.check(name)

    def next(self, calls: Sequence[Call]) -> list[tuple[Call, int]]:
        """Return for each call the one use of what it gives, and in which place; raise if there are others."""
        found = []
        for call in calls:
            uses = [use for output in call.outputs for use in output.uses]
            if len(uses) != 1:
                users = " and to ".join(dict.fromkeys(str(user) for user, _ in uses))
                raise Left(f"its output goes to {users}" if uses else "its output goes nowhere")
            found.append(uses[0])
        return found

    def block_of(self, name: str) -> str | None:
        """Return the name of the module whose forward calls what follows a batch norm: an addition, an activation.

        It calls the batch norm as well, or, before an addition, what may end with it. None where something else
        follows, or where the module is a ``Sequential``, which others may lengthen or cut.
        """
        calls = self.calls[name]
        following = [call for call, _ in self.next(calls)]
        if not all(map(_may_be_taken, following)):
            return None
        if any(user.name == KEPT for call in following for output in call.outputs for user, _ in output.uses):
            raise Left(f"what follows goes to {KEPT}")  # which torch.fx does not see
        callers = {self._caller(*both) for both in zip(calls, following, strict=True)}
        block = callers.pop()
        if (
            callers
            or block is None
            or not name.startswith(f"{block}." if block else "")
            or type(self.modules[block]).forward is nn.Sequential.forward
        ):
            return None
        if "forward" in vars(self.modules[block]):
            raise Left(f"{block or 'the model'} has a forward of its own")
        return block

    def _caller(self, call: Call, following: Call) -> str | None:
        if following.name.strip("_") in ADDING:
            return "" if following.inside == "the model" else following.inside
        return self.names[call.caller.module] if call.caller else None

    def activation_behind(self, name: str) -> str:
        """Return the name of the module of an activation that takes all that a batch norm gives, and nothing else.

        Both are called in the same function of the same module, so that every other module computes what it did.
        """
        calls = self.calls[name]
        following = self.next(calls)
        for call, place in following:
            if call.layer is None or place or activation_of_module(call.layer) is None:
                raise Left(f"no activation follows: its output goes to {call}")
        taken = {self.names[call.layer] for call, _ in following if call.layer}
        if len(taken) > 1:
            raise Left(f"its output goes to {' and to '.join(sorted(taken))}")
        activation = taken.pop()
        self.check(activation)
        if len(self.calls[activation]) > len(calls):
            raise Left(f"{activation} is also called elsewhere")
        for call, (after, _) in zip(calls, following, strict=True):
            if call.caller is None or call.caller != after.caller:
                raise Left(f"{activation} is called by another module than it, which alone would give something else")
        return activation


def _may_be_taken(call: Call) -> bool:
    name = call.name.strip("_")
    return call.layer is not None or name in ADDING or name in ACTIVATIONS


def _is_of_interest(module: nn.Module) -> bool:
    return isinstance(module, NormBase) or activation_of_module(module) is not None
