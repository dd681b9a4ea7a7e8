"""The committed record of what one pass loses."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def load():
    spec = spec_from_file_location("benchmark_of_passes", ROOT / "benchmarks" / "passes.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_smaller_batches_lose_more():
    record = json.loads(load().RECORD.read_text())
    assert len(record["seeds"]) == 3
    for cases in record["data"].values():
        for seed in record["seeds"]:
            far = [case["variance, median"] for case in cases if case["seed"] == seed and case["batch"]]
            assert far == sorted(far, reverse=True)
