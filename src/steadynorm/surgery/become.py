"""One module made into another in place: whoever holds it, holds the new one."""

from torch import nn

__all__ = ["become"]

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
