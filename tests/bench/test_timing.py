import pytest
import torch

from steadynorm.bench import LAYER_CASES, LayerCase, compare_layers, geometric_mean, interleave, rows, timing


def test_a_slower_function_is_told_by_its_ratio(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])

    def work(seconds):
        def call():
            clock[0] += seconds

        return call

    found = interleave({"reference": work(0.01), "slow": work(0.04), "fast": work(0.005)}, rounds=5, least_seconds=0.05)
    assert found["reference"].calls == found["slow"].calls == 5
    assert found["reference"].speedup == pytest.approx(1)
    assert found["slow"].speedup == pytest.approx(0.25)
    assert found["fast"].speedup == pytest.approx(2)
    assert found["fast"].seconds == pytest.approx(0.005)
    assert found["fast"].rounds == 5


def test_drift_does_not_reach_the_ratio(monkeypatch):
    clock, speed = [0.0], [1.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])

    def work(seconds):
        def call():
            speed[0] *= 1.02  # the machine slows down all the while
            clock[0] += seconds * speed[0]

        return call

    found = interleave({"reference": work(0.01), "same": work(0.01)}, rounds=31, least_seconds=0.001)
    assert found["same"].speedup == pytest.approx(1, abs=0.05)
    low, high = found["same"].seconds_quartiles
    assert high > 1.5 * low


def test_cases_cover_both_layouts_and_all_work():
    assert {case.layout for case in LAYER_CASES} == {"contiguous", "channels_last"}
    assert {case.work for case in LAYER_CASES} == {"inference", "forward", "forward+backward"}


@pytest.mark.parametrize("work", ["inference", "forward", "forward+backward"])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_a_small_case(work, layout):
    case = LayerCase((2, 3, 4, 4), layout, work)
    timings = compare_layers((case,), rounds=2)[case]
    assert list(timings) == ["torch", "steadynorm", "copy"]
    assert all(t.seconds > 0 for t in timings.values())


def test_what_is_compared():
    for residual in (False, True):
        case = LayerCase((2, 3, 4, 4), "channels_last", "forward+backward", "silu", residual)
        calls = case.contestants()
        theirs, ours = calls["torch"](), calls["steadynorm"]()
        assert len(theirs) == 3 + residual  # gradients of x, the residual, γ, β
        assert theirs[0].is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_compiled_takes_part_where_it_is_asked(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda layers: layers)
    cases = [LayerCase((2, 3, 4, 4), "contiguous", "forward", activation) for activation in ("relu", "silu")]
    results = compare_layers(cases, rounds=2, compiled=lambda case: case.activation == "relu")
    relu, silu = rows(results)
    assert relu["torch.compile ms"] > 0
    assert silu["torch.compile ms"] is None
    assert relu["shape"] == "2×3×4×4"
    assert relu["speed-up"] == next(iter(results.values()))["steadynorm"].speedup


def test_geometric_mean():
    assert geometric_mean([1, 4]) == pytest.approx(2)


def test_a_wrong_layer_is_not_timed(monkeypatch):
    from steadynorm.bench import cases

    monkeypatch.setattr(cases.BatchNorm2d, "forward", lambda self, x: x)
    with pytest.raises(AssertionError):
        compare_layers((LayerCase((2, 3, 4, 4), "contiguous", "forward"),), rounds=2)
