"""``steadynorm bench``: a row a case, as a table or as JSON."""

import json

import pytest

from steadynorm import bench
from steadynorm.bench import LayerCase
from steadynorm.cli import main


@pytest.fixture(autouse=True)
def one_small_case(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bench.compare_layers
    monkeypatch.setattr(
        bench, "compare_layers", lambda **options: whole((LayerCase((2, 3, 4, 4), "contiguous", "forward"),), **options)
    )


def test_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--rounds", "2"]) == 0
    out, err = capsys.readouterr()
    assert "2×3×4×4  contiguous  forward  relu" in out
    assert "2 interleaved rounds" in out
    assert "torch.compile" not in out
    assert "measuring LayerCase" in err


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--rounds", "2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (case,) = document["cases"]
    assert case["speed-up"] > 0
    assert case["rounds"] == 2
    assert document["environment"]["kernels"]


def test_one_round_has_no_median(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--rounds", "1"]) == 2
    assert "--rounds must be 2 or more, received 1" in capsys.readouterr().err
