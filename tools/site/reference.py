"""The pages of the API reference: whatever is public, by mkdocstrings' directives."""

import inspect
import re
from collections.abc import Iterable, Iterator
from types import ModuleType

import steadynorm
from steadynorm import errors, functional, nn, reports, surgery

PAGES = {
    "tools": (
        "Tools and the doctor",
        "Functions that take a whole model. Each is shown in use in [tools](../tools/index.md).",
    ),
    "layers": ("Layers", "`sn.nn`: drop-ins for the layers of `torch.nn`, and the [other methods](../methods.md)."),
    "functional": ("Equations", "`sn.functional`: tensors in, tensors out; nothing is written to."),
    "errors": ("Errors and reports", "What layers and tools raise, and what tools return."),
}
TOLD_BY = re.compile(r"all else as in :class:`(\w+)`")


def names() -> dict[str, str]:
    """Return the name by which users call whatever is public, by its path."""
    tools = [name for name in steadynorm.__all__ if not name.startswith("_")]
    found = {
        f"steadynorm.{name}": f"sn.{name}" for name in tools if not isinstance(getattr(steadynorm, name), ModuleType)
    }
    for module in (surgery, nn, functional, errors, reports):
        path = module.__name__
        found |= {f"{path}.{name}": f"{path.replace('steadynorm', 'sn')}.{name}" for name in module.__all__}
    return found


def pages() -> dict[str, str]:
    """Return the Markdown of each page of the reference."""
    called = names()
    of = {
        "tools": r"steadynorm\.(surgery\.)?\w+",
        "functional": r".*\.functional\..*",
        "errors": r".*\.(errors|reports)\..*",
    }
    sections = {
        page: [_section([path]) for path in called if re.fullmatch(pattern, path)] for page, pattern in of.items()
    }
    sections["layers"] = list(_layers())
    return {
        page: f"# {title}\n\n{lead}\n\n" + "\n\n".join(sections[page]) + "\n" for page, (title, lead) in PAGES.items()
    }


def _section(paths: list[str], told: str = "") -> str:
    """Return the directive of a docstring, under the names that users call, with an anchor for each.

    Args:
        told: whose docstring it is; "" for that of the first path.
    """
    called = names()
    anchors = "".join(f"[](){{#{path}}}" for path in paths if path != (told or paths[0]))
    title = ", ".join(called[path].removeprefix("sn.nn.").removeprefix("sn.functional.") for path in paths)
    return f"{anchors}\n\n::: {told or paths[0]}\n    options: {{heading: '{title}', toc_label: '{title}'}}"


def _layers() -> Iterator[str]:
    """Yield a section for each family of layers: those for one, two and three dimensions have one docstring."""
    families: dict[str, list[str]] = {}
    for name in nn.__all__:
        families.setdefault(re.sub(r"[123]d$", "", name), []).append(f"{nn.__name__}.{name}")
    for paths in families.values():
        layer = getattr(nn, paths[0].rpartition(".")[2])
        base = TOLD_BY.search(layer.__doc__ or "") if inspect.isclass(layer) else None
        yield _section(paths, f"{_base(layer, base[1])}" if base else "")


def _base(layer: type, name: str) -> str:
    found: Iterable[type] = (c for c in layer.__mro__ if c.__name__ == name)
    base = next(iter(found))
    return f"{base.__module__}.{base.__qualname__}"
