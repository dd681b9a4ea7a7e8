import pytest

from steadynorm.bench import LAYER_CASES, LayerCase, compare_layers, interleave, timing


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
    assert set(timings) == {"torch", "steadynorm", "copy"}
    assert all(t.seconds > 0 for t in timings.values())


def test_a_wrong_layer_is_not_timed(monkeypatch):
    from steadynorm.bench import cases

    monkeypatch.setattr(cases.BatchNorm2d, "forward", lambda self, x: x)
    with pytest.raises(AssertionError):
        compare_layers((LayerCase((2, 3, 4, 4), "contiguous", "forward"),), rounds=2)
