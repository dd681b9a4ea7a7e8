"""The committed record of training steps of the makers' models."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def load():
    spec = spec_from_file_location("benchmark_of_zoo", ROOT / "benchmarks" / "zoo.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_model_in_both_layouts_with_intervals():
    zoo = load()
    record = json.loads(zoo.RECORD.read_text(encoding="utf-8"))
    assert [(case["maker"], case["model"]) for case in record["cases"]] == list(zoo.MODELS)
    for case in record["cases"]:
        assert case["layouts"].keys() == zoo.LAYOUTS.keys()
        assert 0 < case["activations taken"] <= case["batch norms"]
        for timings in case["layouts"].values():
            assert list(timings) == ["torch", "convert_", "fuse"]
            assert timings["torch"]["speed-up"] == 1
            for one in timings.values():
                low, high = one["speed-up quartiles"]
                assert low <= one["speed-up"] <= high
    table = zoo.table(record)
    assert len(table.rows) == 2 * len(zoo.MODELS)
    assert all(version in table.notes[0] for version in record["environment"]["makers"].values())
