"""The committed record of what folding brings."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def load():
    spec = spec_from_file_location("benchmark_of_folding", ROOT / "benchmarks" / "folding.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_was_measured_was_equal_and_folded():
    record = json.loads(load().RECORD.read_text())
    assert [case["network"] for case in record["cases"]] == ["ResNet-50", "MobileNetV2", "DenseNet-121", "VGG-16-BN"]
    for case in record["cases"]:
        unfolded, folded, _ = case["contestants"]
        assert case["largest error"] < 1e-4
        assert unfolded["batch norms left"] == case["batch norms"] > folded["batch norms left"]
        assert unfolded["speed-up"] == 1
    assert record["environment"]["packages"]["torch"]
