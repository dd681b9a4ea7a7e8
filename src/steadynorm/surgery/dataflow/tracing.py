"""Who produces and who consumes each tensor of a model: a copy runs on the examples, and all it does is written down.

What one run does, every run does, unless its course depends on what the tensors hold or how large they are. So a trace
notices where values leave the tensors (``if x.sum() > 0``, ``x.item()``): the modules whose ``forward`` does that are
:attr:`DataFlow.unsure`. Where a comparison of sizes decides (``if x.shape[0] > 1``), both outcomes are run. What sizes
decide in other ways, such as the number of turns of a loop, shows in runs of the example in other sizes.

``torch.export`` and ``torch.fx`` were the alternatives. Export follows the sizes of the example without a word; fx
puts a proxy in the place of the tensors, for which ``isinstance(x, Tensor)`` and ``mask is None`` come out otherwise
than in a real run; and neither sees a tensor that the model puts aside in an attribute.
"""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..._torch import Dispatch, hook_tables, tree_leaves, without_torch_function
from ...errors import ModelError
from .examples import Example, other_sizes, run, tensors_in
from .movements import movement
from .sizes import DECIDE, Condition, Decider, Size, calling_code, place
from .values import Call, Caller, DataFlow, Value

__all__ = ["KEPT", "trace"]

MOST_RUNS = 32  # of one example, with sizes deciding otherwise; where they decide more often, the model is unsure

KEPT = "something that keeps it"
"""The user of a value that outlives the run and is not returned."""

SIZES = {"shape", "size", "numel", "nelement"}
RANDOM = ("rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial", "poisson")
TELLS_NOTHING = """
    dim ndim ndimension dtype device layout stride storage_offset is_contiguous element_size itemsize nbytes names
    is_floating_point is_complex is_signed is_cuda is_cpu is_mps is_meta is_sparse is_quantized is_nested is_leaf
    is_inference is_conj is_neg requires_grad grad grad_fn get_device result_type can_cast type __hash__
    __repr__ __format__ _version is_same_size
"""  # asked of a tensor, these tell nothing of its values
METADATA = SIZES | set(TELLS_NOTHING.split())


def trace(
    model: nn.Module,
    examples: Iterable[Example],
    is_layer: Callable[[nn.Module], bool],
    *,
    only_seen: bool = False,
    gradients: bool = False,
) -> DataFlow:
    """Run the model on the examples and return its data flow.

    Args:
        model: a copy that may be spoilt: its forward may count or cache.
        is_layer: which modules are of interest; what happens inside of them is not looked at.
        only_seen: take the ways of the examples for all there are, whatever they depend on.
        gradients: run with autograd on, which a model may ask about.

    Raises: ModelError, from what the model raised.
    """
    flow = DataFlow()
    new_recorder = partial(_Recorder, model, is_layer, gradients)
    for example in examples:
        try:
            for way in _ways(model, example, new_recorder):
                flow.add(way)
                if only_seen:
                    flow.unsure.clear()
                    break
            else:
                for other in other_sizes(example):
                    with suppress(ModelError):  # a model for these sizes alone
                        flow.add(_record(new_recorder, other).flow)
        except ModelError as error:
            run(model, example)  # raises the same, unless it is the watching that fails
            flow.unsure[model] = f"tracing failed: {str(error).splitlines()[0]}"
    return flow


def _ways(model: nn.Module, example: Example, new_recorder: Callable[..., _Recorder]) -> Iterator[DataFlow]:
    """Yield the data flow of an example's own run, then of runs in which conditions on sizes come out otherwise."""
    first = _record(new_recorder, example)
    yield first.flow
    waiting = first.alternatives(0)
    guards = set()  # conditions that raise on the spot if they come out otherwise: there is but one way behind them
    runs = 1
    while waiting:
        laid_down = waiting.pop()
        turned = laid_down[-1]
        if turned.condition.site in guards:
            continue
        if runs == MOST_RUNS:
            yield DataFlow(unsure={model: f"sizes decide too often, among others at {turned.condition.place}"})
            return
        recorder = new_recorder(laid_down)
        try:
            recorder.record(example)
        except ModelError:
            if recorder.clock == turned.clock:
                guards.add(turned.condition.site)
                continue
            yield DataFlow(unsure={turned.module: f"sizes decide at {turned.condition.place}"})
        else:
            yield recorder.flow
            waiting += recorder.alternatives(len(laid_down))
        runs += 1


def _record(new_recorder: Callable[..., _Recorder], example: Example) -> _Recorder:
    recorder = new_recorder([])
    recorder.record(example)
    return recorder


@dataclass(frozen=True)
class _Decision:
    """A condition on sizes, and where in a run it was come to."""

    condition: Condition
    module: nn.Module
    clock: int


class _Recorder(TorchFunctionMode):
    """Writes down one run, in which the conditions on sizes come out as laid down, the last of these otherwise."""

    def __init__(
        self,
        model: nn.Module,
        is_layer: Callable[[nn.Module], bool],
        gradients: bool,
        laid_down: Sequence[_Decision],
    ) -> None:
        super().__init__()
        outcomes = [d.condition.outcome for d in laid_down[:-1]] + [not d.condition.outcome for d in laid_down[-1:]]
        self.decider = Decider(outcomes, lambda c: self.decisions.append(_Decision(c, self._module, self.clock)))
        self.decisions: list[_Decision] = []
        self.clock = 0  # operations so far
        self.flow = DataFlow()
        self._model, self._is_layer, self._gradients = model, is_layer, gradients
        self._names = {module: name or "the model" for name, module in model.named_modules()}
        self._watched = {m for m in self._names if any(hook_tables(m)[:2])}  # by hooks of the user's
        self._own = {id(t) for t in (*model.parameters(), *model.buffers())}
        self._values: dict[int, tuple[ref[Tensor], Value]] = {}
        self._stack: list[nn.Module] = []
        self._starts: list[int] = []  # when they began
        self._call: Call | None = None  # of the layer whose inside is running
        self._depth = 0  # of the stack where that layer is
        self._in_function = False

    def alternatives(self, start: int) -> list[list[_Decision]]:
        """Return the decisions up to each one from ``start`` on: what to lay down to turn that one round."""
        return [self.decisions[: i + 1] for i in range(start, len(self.decisions))]

    def record(self, example: Example) -> None:
        """Run the model on an example, and write down what happens."""
        handles = []
        token = DECIDE.set(self.decider)
        try:
            for module in self._names:
                if not isinstance(module, torch.jit.ScriptModule):
                    handles.append(module.register_forward_pre_hook(self._enter, prepend=True, with_kwargs=True))
                    handles.append(module.register_forward_hook(self._leave, prepend=True, with_kwargs=True))
            output = run(self._model, example, within=self._watching())
        finally:
            DECIDE.reset(token)
            for handle in handles:
                handle.remove()
        returned = Call("the output of the model")
        self._use(tensors_in(output), returned)
        del output
        self._look_for_what_is_kept(returned)

    @contextmanager
    def _watching(self) -> Iterator[None]:
        with torch.set_grad_enabled(self._gradients), _Beneath(self), self:
            yield

    @property
    def _module(self) -> nn.Module:
        """Whose forward is running."""
        return self._stack[-1] if self._stack else self._model

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.is_inside:
            return func(*args, **kwargs)
        name = func.__self__.__name__ if func.__name__ == "__get__" else func.__name__
        self.clock += name not in METADATA  # before the call, which may raise
        self._in_function = True
        try:
            result = func(*args, **kwargs)
        finally:
            self._in_function = False
        if name in SIZES:
            return torch.Size(map(Size, result)) if isinstance(result, torch.Size) else Size(result)
        self.function(func, name, args, kwargs, result)
        return result

    @property
    def is_inside(self) -> bool:
        """Whether what happens is part of a function or layer that is written down as a whole."""
        return self._in_function or self._call is not None

    def function(self, func: Any, name: str, args: Any, kwargs: Any, result: Any) -> None:
        """Write down one call of a function."""
        outputs = list(tensors_in(result))
        if not outputs and name in METADATA:
            return
        given = list(tensors_in((args, kwargs)))
        call = Call(name, self._names[self._module])
        values = self._use(given, call)
        if len(given) == 1:
            call.move = movement(func, name, args, kwargs, given[0], result)
        for tensor in given:
            if id(tensor) in self._own:
                self.flow.users.setdefault(tensor, call)
        from_input = name in RANDOM or any(value.from_input for value in values)
        self._give(outputs, call, from_input)
        if not outputs and result is not None and from_input:
            what = "sizes" if name == "__len__" else "values"
            self.flow.unsure.setdefault(self._module, f"{what} decide: {name.strip('_')} at {place()}")

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        caller = Caller(self._stack[-1], self._starts[-1], calling_code()) if self._stack else None
        self._stack.append(module)
        self._starts.append(self.clock)
        if self._call is not None:
            return
        self.clock += 1
        if self._is_layer(module):
            self._depth = len(self._stack)
            self._call = Call(self._names[module], layer=module, caller=caller)
            self._call.bare = len(args) == 1 and not kwargs
            self.flow.calls.setdefault(module, []).append(self._call)
            if any(id(t) not in self._own for t in (*module.parameters(), *module.buffers())):
                self.flow.unsure.setdefault(module, "is also called with other parameters than its own")
            x, *others = inspect.signature(module.forward).bind(*args, **kwargs).arguments.values()
            self._use(tensors_in(x), self._call)
            self._use(tensors_in(others), self._call, start=1)
        elif module in self._watched:
            self._use(tensors_in((args, kwargs)), Call(f"a hook of {self._names[module]}"))

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        self._stack.pop()
        self._starts.pop()
        if self._call is not None:
            if len(self._stack) < self._depth:
                self._give(tensors_in(output), self._call, from_input=True)
                self._call = None
            return
        if module in self._watched:
            self._use(tensors_in(output), Call(f"a hook of {self._names[module]}"))
        if module in self.flow.unsure:  # another way through it may use whatever it was given
            self._use(tensors_in((args, kwargs)), Call(self._names[module]))
            if not all(isinstance(v, Tensor | None) for v in tree_leaves(output)):  # and a number decide in the caller
                self.flow.unsure.setdefault(self._module, self.flow.unsure[module])

    def _use(self, tensors: Iterable[Tensor], call: Call, start: int = 0) -> list[Value]:
        values = [self._value(tensor) for tensor in tensors]
        for place_, value in enumerate(values, start):
            value.uses.append((call, place_))
        if start == 0 and values:
            call.input = values[0]
        return values

    def _give(self, tensors: Iterable[Tensor], call: Call, from_input: bool) -> None:
        for tensor in tensors:
            value = Value(tuple(tensor.shape), from_input, call)
            call.outputs.append(value)
            self._values[id(tensor)] = ref(tensor), value

    def _value(self, tensor: Tensor) -> Value:
        known = self._values.get(id(tensor))
        if known is not None and known[0]() is tensor:
            return known[1]
        value = Value(tuple(tensor.shape), id(tensor) not in self._own)
        self._values[id(tensor)] = ref(tensor), value
        return value

    def _look_for_what_is_kept(self, returned: Call) -> None:
        """Note a use for what outlives the run without being returned: somebody has put it aside."""

        def kept() -> list[Value]:
            alive = [value for tensor, value in self._values.values() if tensor() is not None and value.producer]
            return [value for value in alive if all(call is not returned for call, _ in value.uses)]

        if kept():
            gc.collect()  # what only refers to itself in a circle is kept by nobody
        for value in kept():
            value.uses.append((Call(KEPT), 0))


class _Beneath(Dispatch):
    """Sees the operations that come from where no function of Python is called, such as TorchScript and extensions."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with without_torch_function():
            result = func(*args, **kwargs)
        if not self.recorder.is_inside:
            self.recorder.function(func, func.__name__, args, kwargs, result)
        return result
