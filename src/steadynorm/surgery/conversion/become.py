"""One module made into another in place: whoever holds it, holds the new one."""

from torch import nn

from ..pause import is_paused

__all__ = ["become", "why_not_another"]

STATE = {"training", "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"}
HOOKS = vars(nn.Module()).keys() - STATE


def become(module: nn.Module, form: nn.Module) -> None:
    """Give a module the class and the content of another one; identity, hooks and mode stay its own.

    The hooks that the form has from its constructor come along. The form shares what it holds with the module from then
    on, and is not to be used any more. Nothing here can fail half-way for other reasons than the interpreter's own; a
    :func:`transaction` around it takes it back.
    """
    form.train(module.training)
    content = dict(vars(form))
    for name in HOOKS & vars(module).keys():
        own = vars(module)[name]
        if isinstance(own, dict):  # the container stays: a hook's handle refers to it
            own.update(content[name])
        content[name] = own
    vars(module).clear()
    vars(module).update(content)
    module.__class__ = type(form)


def why_not_another(module: nn.Module) -> str | None:
    """Say why a batch norm cannot be given another class that does what its base does; None if it can.

    A user's subclass that overrides ``forward`` is kept as it is: nobody else knows what it does.
    """
    kind: type[nn.Module] = type(module)
    base: type[nn.Module] = next(b for b in kind.__mro__ if b.__module__.split(".")[0] in ("torch", "steadynorm"))
    if kind.forward is not base.forward or "forward" in vars(module):
        return f"{kind.__name__} overrides forward"
    return "is in a block of paused_statistics" if is_paused(module) else None
