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
    assert main(["bench", "--rounds", "5"]) == 0
    out, err = capsys.readouterr()
    assert "2×3×4×4  contiguous  forward  relu" in out
    assert "5 interleaved rounds" in out
    assert "torch.compile" not in out
    assert "measuring 2×3×4×4 contiguous, forward, relu" in err


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--rounds", "5", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (case,) = document["cases"]
    assert case["speed-up"] > 0
    assert case["rounds"] == 5
    assert document["environment"]["kernels"]


def test_four_rounds_have_no_quartiles(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--rounds", "4"]) == 2
    assert "--rounds must be 5 or more, received 4" in capsys.readouterr().err
