"""The committed record of what synchronizing costs."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def load():
    spec = spec_from_file_location("benchmark_of_synchronization", ROOT / "benchmarks" / "synchronization.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_case_was_measured_side_by_side():
    module = load()
    record = json.loads(module.RECORD.read_text())
    found = [(row["processes"], tuple(row["shape"]), row["layer"]) for row in record["rows"]]
    assert found == [(n, shape, kind) for n in module.PROCESSES for shape in module.SHAPES for kind in module.KINDS]
    for row in record["rows"]:
        low, high = row["quartiles"]
        assert 0 < low <= row["times batch norm"] <= high
