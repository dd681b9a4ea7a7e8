"""The network as a table, a layer a row: sizes, parameters, multiply-adds; and where the paper's table disagrees."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..reports import Cell, Report
from .network import Network, NetworkOptions
from .table import MODULES, TABLES

__all__ = ["describe", "layers"]

#: Maps of a module's output as the paper's table prints them.
PRINTED = {
    "3a": 256,
    "3b": 320,
    "3c": 576,
    "4a": 576,
    "4b": 576,
    "4c": 576,
    "4d": 576,
    "4e": 1024,
    "5a": 1024,
    "5b": 1024,
}
STATED_PARAMETERS = 13.6e6  # in the paper's text, Sec. 4.2


def layers(options: NetworkOptions, size: int) -> list[dict[str, Any]]:
    """Return a row for each layer that computes something, in the order of the computation.

    A row has ``row`` (of the paper's table), ``layer`` (its name in the network), ``what``, ``output`` (maps×H×W),
    ``parameters`` and ``multiply-adds`` of one image's forward pass. Nothing is computed: the network lies on torch's
    meta device.
    """
    with torch.device("meta"):
        network = Network(options)
        rows: list[dict[str, Any]] = []
        names = {module: name for name, module in network.named_modules()}

        def see(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            parameters = sum(p.numel() for p in module.parameters(recurse=False))
            rows.append(
                {
                    "row": _row(names[module]),
                    "layer": names[module],
                    "what": _what(module),
                    "output": "×".join(map(str, output.shape[1:])),
                    "parameters": parameters,
                    "multiply-adds": _multiply_adds(module, output),
                }
            )

        hooks = [m.register_forward_hook(see) for m in network.modules() if not list(m.children())]
        network.eval()(torch.empty(1, options.channels, size, size))
        for hook in hooks:
            hook.remove()
    return [row for row in rows if row["what"]]


def _row(name: str) -> str:
    room, _, rest = name.partition(".")
    return MODULES[int(rest.partition(".")[0])].name if room == "body" else room


def _what(module: nn.Module) -> str:
    """Say what a layer does, as the paper's column *patch size/stride* does; nothing for one that does nothing."""
    if isinstance(module, nn.Conv2d):
        depthwise = " depthwise" if module.groups > 1 else ""
        return f"conv {module.kernel_size[0]}×{module.kernel_size[1]}/{module.stride[0]}{depthwise}"
    if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        return f"{'max' if isinstance(module, nn.MaxPool2d) else 'avg'} pool 3×3/{module.stride}"
    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, nn.LocalResponseNorm):
        return "local response norm"
    return "batch norm" if isinstance(module, nn.modules.batchnorm._BatchNorm) else ""


def _multiply_adds(module: nn.Module, output: Tensor) -> int:
    """Count those of the weights: of convolutions and of the linear layer."""
    if not isinstance(module, nn.Conv2d | nn.Linear):
        return 0
    return module.weight[0].numel() * output[0].numel()


def describe(name: str, options: NetworkOptions, size: int) -> Report:
    """Return the table of a recipe's network for images of ``size`` pixels, with what the paper says otherwise."""
    rows = layers(options, size)
    total = {key: sum(row[key] for row in rows) for key in ("parameters", "multiply-adds")}
    table: list[Mapping[str, Cell]] = [*rows, {"row": "total", "layer": "", "what": "", "output": "", **total}]
    notes = _discrepancies(options) if options.width == 1 and options.classes == 1000 else []
    return Report(f"{name}, images of {size}×{size}", tuple(rows[0]), table, notes)


def _discrepancies(options: NetworkOptions) -> Sequence[str]:
    def count(**changes: Any) -> str:
        with torch.device("meta"):
            network = Network(replace(options, **changes))
        return f"{sum(p.numel() for p in network.parameters()):,}"

    widths = _outputs(options)
    conflicts = [f"{name} {widths[name]} (printed {maps})" for name, maps in PRINTED.items() if widths[name] != maps]
    other = "printed" if options.table == "literal" else "literal"
    return [
        f"The reading of the table is {options.table!r}; maps that differ from the printed sizes: "
        f"{', '.join(conflicts) or 'none'}. The reading {other!r} has {count(table=other)} parameters.",
        f"The paper states {STATED_PARAMETERS / 1e6:g} million parameters. Its table has "
        f"{count(stem='paper-full', table='literal', batch_norm=True, cancelled_biases=True)} with a full first "
        f"convolution and every bias, {count(stem='paper-full', table='literal', batch_norm=True)} without the biases "
        f"that batch norm cancels, {count(stem='paper', table='literal', batch_norm=True)} with the separable first "
        "convolution as well. The stated number cannot be derived from the table; no width was tuned to meet it.",
    ]


def _outputs(options: NetworkOptions) -> dict[str, int]:
    """Return the maps of each module's output by name."""
    outputs: dict[str, int] = {}
    maps = 192
    for row in TABLES[options.table]:
        maps = row.one + row.three + row.double + (row.projection or maps)
        outputs[row.name] = maps
    assert list(outputs) == [row.name for row in MODULES]
    return outputs
