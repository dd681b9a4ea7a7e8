import copy
from inspect import signature

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.testing import assert_close

import oracles
import steadynorm as sn
from steadynorm.errors import ArgumentError, ModelError
from steadynorm.nn.catalogue import CATALOGUE
from surgery_models import DATA, NOTHING_DONE, Branches, assert_unchanged, network, small_networks, state_of


def batches(x, *sizes):
    return list(x.split(list(sizes))) if len(sizes) > 1 else list(x.split(sizes[0]))


def statistics(model):
    return {n: v.clone() for n, v in model.named_buffers() if n.rpartition(".")[2] in ("running_mean", "running_var")}


def unbiased(values):
    mean, var = oracles.mean_and_variance(values)
    return mean, var * len(values) / (len(values) - 1)


# --- what it computes -------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(small_networks(), st.data())
def test_cutting_does_not_matter(model, data):
    """However the data are cut: all layers in exact, the first ones in one, and equal to a float64 oracle."""
    x = torch.randn(12, 3, 5, 5, dtype=torch.float64)
    cuts = sorted(data.draw(st.lists(st.integers(0, 12), max_size=4)))
    sizes = [b - a for a, b in zip([0, *cuts], [*cuts, 12], strict=True)]  # batches of one, and empty ones
    other = copy.deepcopy(model)
    sn.recalibrate_(model, batches(x, 5), passes="exact")
    sn.recalibrate_(other, x.split(sizes), passes="exact")
    assert_close(statistics(other), statistics(model), rtol=1e-9, atol=1e-9)

    one = copy.deepcopy(model)
    sn.recalibrate_(one, x.split(sizes))
    first = next(m for m in one.modules() if isinstance(m, _BatchNorm))
    again = next(m for m in model.modules() if isinstance(m, _BatchNorm))
    assert_close((first.running_mean, first.running_var), (again.running_mean, again.running_var), rtol=1e-9, atol=1e-9)

    reached = {}
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    handles = [m.register_forward_pre_hook(lambda m, args: reached.__setitem__(m, args[0])) for m in norms]
    with torch.no_grad():
        model.eval()(x)  # with the final statistics, every layer sees what it was measured on
    for handle in handles:
        handle.remove()
    for norm in norms:
        for c in range(norm.num_features):
            expected = unbiased(oracles.feature_values(reached[norm], c))
            assert_close((float(norm.running_mean[c]), float(norm.running_var[c])), expected, rtol=1e-9, atol=1e-9)


def test_the_paper_estimator_is_equation_5():
    model = nn.Sequential(nn.BatchNorm1d(2)).double()
    x = torch.randn(12, 2).double()
    sn.recalibrate_(model, batches(x, 4), estimator="paper")
    means, variances = (torch.stack([f(part, 0) for part in x.split(4)]).mean(0) for f in (torch.mean, torch.var))
    assert_close((model[0].running_mean, model[0].running_var), (means, variances))


def test_a_layer_used_several_times_counts_every_use():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(2).double()

        def forward(self, x):
            return self.norm(x), self.norm(3 * x + 1)

    model, x = Twice(), torch.randn(10, 2).double()
    report = sn.recalibrate_(model, batches(x, 4), passes="exact")
    together = torch.cat([x, 3 * x + 1])
    assert_close((model.norm.running_mean, model.norm.running_var), (together.mean(0), together.var(0)))
    assert int(model.norm.num_batches_tracked) == 3
    assert report.rows[0]["batches"] == 3


def test_masks_are_heeded():
    layer = sn.nn.BatchNorm1d(3).double()
    x, mask = torch.randn(4, 3, 5).double(), torch.rand(4, 1, 5) < 0.6
    sn.recalibrate_(layer, [{"x": x[:2], "mask": mask[:2]}, {"x": x[2:], "mask": mask[2:]}])
    for c in range(3):
        expected = unbiased(oracles.feature_values(x, c, mask))
        assert_close((float(layer.running_mean[c]), float(layer.running_var[c])), expected)


def test_one_pass_loses_the_noise_that_exact_does_not():
    model = network()
    x = torch.randn(64, *DATA).double()
    one, exact = copy.deepcopy(model), copy.deepcopy(model)
    sn.recalibrate_(one, batches(x, 2))
    report = sn.recalibrate_(exact, batches(x, 2), passes="exact")
    final = statistics(exact)
    sn.recalibrate_(exact, batches(x, 2), passes="exact")
    loop = exact[3].shared  # it feeds itself, so its own noise stays in it
    for name, value in statistics(exact).items():
        if not name.startswith(("3.shared", "3.alias", "8", "9")):
            assert_close(value, final[name], rtol=1e-9, atol=1e-9)
    assert not torch.allclose(one[8].running_var, exact[8].running_var, rtol=1e-3)
    assert isinstance(loop, _BatchNorm)
    assert "in 5 passes" in report.title  # 1; the two branches together; shared; 8; 9


def test_the_report():
    model = network()
    model[8].momentum = None
    report = sn.recalibrate_(model.eval(), batches(torch.randn(20, *DATA).double() * 3 + 2, 4))
    rows = {row["layer"]: row for row in report}
    assert list(rows) == ["1", "3.shared (also 3.alias)", "3.left.1", "3.right.1", "3.rare", "8", "9", "10"]
    assert rows["3.rare"]["why"] == "no batch reached it"
    assert rows["10"]["why"] == "has no batch statistics"
    assert rows["9"]["kind"] == "Custom"
    for name in ("1", "3.left.1", "8", "9"):
        assert rows[name]["done"] == "recalibrated"
        assert rows[name]["batches"] == 5
        assert 0 < rows[name]["standard error"] < 1
        assert rows[name]["variance ratio"] >= 1
    assert int(model[3].rare.num_batches_tracked) == 0
    assert model[8].momentum is None


def test_drift_is_what_changed():
    layer = nn.BatchNorm1d(1)
    x = torch.tensor([[0.0], [2.0], [4.0], [6.0]])
    row = sn.recalibrate_(layer, [x]).rows[0]
    deviation = (20 / 3) ** 0.5
    assert row["mean drift"] == pytest.approx(3 / deviation)
    assert row["variance ratio"] == pytest.approx(20 / 3)
    assert row["standard error"] is None  # one batch says nothing of how batches scatter


@pytest.mark.parametrize("kind", ["normal", "signs"])
def test_the_standard_error_is_the_error(kind):
    """Over many draws the statistics scatter as the standard error says."""
    generator = torch.Generator().manual_seed(0)
    means, variances, errors = [], [], []
    for _ in range(120):
        x = torch.randn(60, 1, 6, generator=generator).double() + torch.randn(60, 1, 1, generator=generator).double()
        x = (
            x / 2**0.5 if kind == "normal" else x.sign()
        )  # of normal values the variance is the less sure, of signs the mean
        layer = nn.BatchNorm1d(1).double()
        row = sn.recalibrate_(layer, batches(x, 2)).rows[0]  # pixels of one image are not independent; batches are
        means.append(float(layer.running_mean))
        variances.append(float(layer.running_var))
        errors.append(row["standard error"])
    scatter = torch.stack([torch.tensor(means).std(), torch.tensor(variances).std()])
    assert_close(torch.tensor(errors).mean(), scatter.max(), rtol=0.15, atol=0)


def test_tolerance_stops_early():
    x = torch.randn(4000, 3).double()
    layer = nn.BatchNorm1d(3).double()
    row = sn.recalibrate_(layer, batches(x, 10), tolerance=0.1).rows[0]
    assert 8 <= row["batches"] < 400
    assert row["standard error"] <= 0.1
    assert sn.recalibrate_(layer, batches(x, 10), tolerance=1e-9).rows[0]["batches"] == 400
    assert sn.recalibrate_(layer, batches(x, 10), max_batches=5).rows[0]["batches"] == 5


# --- what the peers get wrong -----------------------------------------------------------------------------------------


def test_a_large_mean():  # B6: E[x²]−E[x]² in float32, as fvcore and others have it
    x = torch.randn(4096, 1) * 0.01 + 1000
    total, squares, n = torch.zeros(1), torch.zeros(1), 0
    for part in x.split(32):
        total, squares, n = total + part.sum(0), squares + part.square().sum(0), n + len(part)
    theirs = squares / n - (total / n).square()
    layer = nn.BatchNorm1d(1)
    sn.recalibrate_(layer, batches(x, 32))
    truth = x.double().var(0)
    assert abs(float(theirs) - float(truth)) > 100 * float(truth)
    assert_close(layer.running_var.double(), truth, rtol=1e-2, atol=0)


def update_bn(model, data):
    torch.optim.swa_utils.update_bn(data, model)


def test_unequal_batches():  # B7 (a)
    x = torch.cat([torch.randn(500, 1) * 0.1 + 2.5, torch.randn(3, 1) * 0.1 + 8])
    theirs, ours = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    update_bn(theirs, batches(x, 500))
    sn.recalibrate_(ours, batches(x, 500))
    assert float(theirs.running_mean) > 5
    assert_close(ours.running_mean, x.mean(0))


def test_ordered_data():  # B7 (b)
    x = torch.arange(64.0)[:, None]
    theirs, ours = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    update_bn(theirs, batches(x, 8))
    sn.recalibrate_(ours, batches(x, 8))
    assert float(theirs.running_var) < 0.05 * float(x.var())
    assert_close(ours.running_var, x.var(0))


def test_frozen_layers_and_dropout_stay():  # B7 (c)
    def make():
        model = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5), nn.BatchNorm1d(2))
        model[0].eval()
        return model

    x = torch.randn(32, 2) + 5
    theirs, ours = make(), make()
    update_bn(theirs, batches(x, 8))
    assert float(theirs[0].running_mean.mean()) > 4  # overwritten
    random = torch.get_rng_state()
    report = sn.recalibrate_(ours, batches(x, 8))
    assert torch.equal(torch.get_rng_state(), random)
    assert_close(ours[0].state_dict(), make()[0].state_dict())
    assert "frozen" in report.rows[0]["why"]
    assert not ours[0].training
    assert ours[2].training
    ours.eval()
    expected = (x / (1 + 1e-5) ** 0.5).var(0)
    assert_close(ours[2].running_var, expected)


def test_a_loader_that_fails():  # B7 (d)
    def loader():
        yield torch.randn(4, 2)
        raise OSError("disk")

    theirs, ours = nn.BatchNorm1d(2, momentum=0.3).eval(), nn.BatchNorm1d(2, momentum=0.3).eval()
    with pytest.raises(OSError, match="disk"):
        update_bn(theirs, loader())
    assert theirs.momentum is None
    assert theirs.training
    before = state_of(ours)
    with pytest.raises(OSError, match="disk"):
        sn.recalibrate_(ours, loader())
    assert_unchanged(ours, before)


def test_dicts_and_a_last_batch_of_one():  # B7 (e), (f)
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(2)

        def forward(self, features):
            return self.norm(features)

    x = torch.randn(9, 2)
    data = [{"features": part} for part in x.split(4)]
    with pytest.raises(AttributeError):
        update_bn(Net(), data)
    with pytest.raises(ValueError, match="more than 1 value"):
        update_bn(nn.BatchNorm1d(2), batches(x, 4))
    model = Net()
    sn.recalibrate_(model, data)
    assert_close((model.norm.running_mean, model.norm.running_var), (x.mean(0), x.var(0)))


# --- any model, any data ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norms", [(nn.BatchNorm2d, nn.BatchNorm1d), (sn.nn.BatchNorm2d, sn.nn.BatchNorm1d)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("passes", ["one", "exact"])
def test_all_else_stays(norms, training, passes):
    model, x = network(*norms).train(training), torch.randn(12, *DATA).double()
    handle = model[1].register_forward_hook(lambda *_: None)
    before = state_of(model)
    sn.recalibrate_(model, batches(x, 4), passes=passes)
    after = state_of(model)
    changed = {n for n, v in after.pop("values").items() if not torch.equal(v, before["values"][n])}
    del before["values"]
    assert after == before
    assert {n.rpartition(".")[2] for n in changed} == {"running_mean", "running_var", "num_batches_tracked"}
    assert not any(name.startswith(("3.rare", "10")) for name in changed)
    handle.remove()
    assert not model[1]._forward_hooks


def test_the_model_may_be_the_layer_and_synchronized():
    for layer in (nn.BatchNorm1d(2), nn.SyncBatchNorm(2), sn.nn.BatchNorm1d(2, activation="relu")):
        x = torch.randn(10, 2)
        report = sn.recalibrate_(layer, [x])
        assert_close(layer.running_mean, x.mean(0))
        assert report.rows[0]["layer"] == "(the model)"


@pytest.mark.parametrize("wrap", ["model", "part", "in place"])
def test_compiled_models(wrap):
    x = torch.randn(12, *DATA).double()
    plain = network()
    expected = copy.deepcopy(plain)
    sn.recalibrate_(expected, batches(x, 4))
    if wrap == "model":
        model = torch.compile(plain, backend="aot_eager")
    elif wrap == "part":
        plain[3] = torch.compile(plain[3], backend="aot_eager")
        model = plain
    else:
        plain.compile(backend="aot_eager")
        model = plain
    with torch.no_grad():
        model(x[:4])  # compiled for training, without hooks
    for layer in plain.modules():
        if isinstance(layer, _BatchNorm):
            layer.reset_running_stats()
    report = sn.recalibrate_(model, batches(x, 4))
    assert [row["layer"] for row in report][1] == "3.shared (also 3.alias)"
    for a, b in zip(plain.buffers(), expected.buffers(), strict=True):
        assert_close(a, b)


def test_batches_of_every_kind():
    x, y = torch.randn(8, 2), torch.arange(8)
    dataset = torch.utils.data.TensorDataset(x, y)
    for data in ([(x, y)], [[x, y]], torch.utils.data.DataLoader(dataset, 3), (x[i : i + 4] for i in (0, 4))):
        layer = nn.BatchNorm1d(2)
        sn.recalibrate_(layer, data)
        assert_close(layer.running_mean, x.mean(0))
    layer = nn.BatchNorm1d(2)
    sn.recalibrate_(layer, [{"image": x}], forward=lambda model, batch: model(batch["image"]))
    assert_close(layer.running_mean, x.mean(0))


def test_sixteen_bits():
    model = nn.Sequential(nn.Linear(2, 2), sn.nn.BatchNorm1d(2), nn.BatchNorm1d(2)).bfloat16()
    x = torch.randn(64, 2).bfloat16()
    sn.recalibrate_(model, batches(x, 16))
    assert model[1].running_mean.dtype == torch.float32
    assert model[2].running_mean.dtype == torch.bfloat16
    assert_close(model[1].running_mean, model[0](x).float().mean(0), rtol=1e-3, atol=1e-3)


def test_layers_that_are_left_alone():
    model = nn.Sequential(
        nn.BatchNorm1d(2, track_running_stats=False),
        nn.LazyBatchNorm1d(),
        nn.InstanceNorm1d(2, track_running_stats=True),
        nn.BatchNorm1d(2),
        nn.BatchNorm1d(2),
    )
    report = sn.recalibrate_(
        model,
        [torch.randn(4, 2)],
        forward=lambda m, x: m[4](m[3](x)),
        where=lambda name, module: name != "4",
    )
    assert [row.get("why") for row in report] == [
        "keeps no running statistics",
        "not initialized yet: run the model once",
        "has no batch statistics",
        None,
        "not selected",
    ]


@NOTHING_DONE
def test_nothing_to_do_is_no_error():
    report = sn.recalibrate_(nn.Linear(2, 2), [torch.randn(4, 2)])
    assert len(report) == 0
    assert "no normalization layer" in str(report)


# --- faults -----------------------------------------------------------------------------------------------------------


class Explodes(nn.Module):
    """Raises on its n-th call."""

    def __init__(self, at, error):
        super().__init__()
        self.at, self.error, self.calls = at, error, 0

    def forward(self, x):
        self.calls += 1
        if self.calls == self.at:
            torch.rand(3)  # and disturbs the random state
            raise self.error
        return x


@pytest.mark.parametrize("error", [RuntimeError("cable"), KeyboardInterrupt()], ids=["error", "ctrl-c"])
@pytest.mark.parametrize("passes", ["one", "exact"])
@settings(max_examples=10)
@given(at=st.integers(1, 18), inside=st.booleans())
def test_faults_at_every_step(error, passes, at, inside):
    model = network()
    x = torch.randn(12, *DATA).double()

    class Loader:
        batches = 0

        def __iter__(self):
            for part in x.split(4):
                Loader.batches += 1
                if Loader.batches == at and not inside:
                    raise error
                yield part

    model.append(Explodes(at if inside else -1, error))
    before = state_of(model)
    calls = model[-1].calls
    reads = 3 if passes == "one" else 1 + 5 * 3  # the first batch once, to see who feeds whom
    if at <= reads:
        with pytest.raises(type(error)):
            sn.recalibrate_(model, Loader(), passes=passes)
        assert model[-1].calls == calls  # even a plain attribute
        assert_unchanged(model, before)
    else:
        sn.recalibrate_(model, Loader(), passes=passes)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_data_that_are_not_finite(bad):
    model, x = network(), torch.randn(12, *DATA).double()
    x[5, 0, 2, 2] = bad
    before = state_of(model)
    with pytest.raises(ModelError, match="batch 1 gave 1 values that are not"):
        sn.recalibrate_(model, batches(x, 4))
    assert_unchanged(model, before)


@pytest.mark.parametrize(
    ("options", "data", "error", "words"),
    [
        ({"passes": "two"}, [], ArgumentError, "'one' or 'exact'"),
        ({"estimator": "median"}, [], ArgumentError, "'pooled' or 'paper'"),
        ({"tolerance": 0.0}, [], ArgumentError, "above 0"),
        ({"max_batches": 0}, [], ArgumentError, "1 or more"),
        ({"passes": "exact"}, iter([]), ArgumentError, "give a list or a DataLoader"),
        ({}, [], ModelError, "did the loader give any batch"),
        ({}, [torch.empty(0, *DATA).double()], ModelError, "received a value"),
        ({}, torch.randn(4, *DATA), ArgumentError, "put a single batch into a list"),
        ({}, 3, ArgumentError, "received int"),
        ({}, ["text"], ArgumentError, "give forward="),
        ({}, [()], ArgumentError, "received tuple"),
        ({}, [torch.randn(4, 7, 6, 6).double()], RuntimeError, "channels"),
        ({}, [torch.randn(4, *DATA).double().to("meta")], (RuntimeError, NotImplementedError), None),
    ],
)
def test_errors(options, data, error, words):
    model = network()
    before = state_of(model)
    with pytest.raises(error, match=words):
        sn.recalibrate_(model, data, **options)
    assert_unchanged(model, before)


def test_one_value_in_all():
    layer = nn.BatchNorm1d(2)
    with pytest.raises(ModelError, match="received one in all"):
        sn.recalibrate_(layer, [torch.randn(1, 2)])
    with pytest.raises(ArgumentError, match="received str"):
        sn.recalibrate_("model", [])


def test_a_loop_of_layers():
    model = Branches().double()
    report = sn.recalibrate_(model, batches(torch.randn(12, 4, 5, 5).double(), 4), passes="exact")
    assert "in 2 passes" in report.title


# --- the old statistics mixed in --------------------------------------------------------------------------------------


@pytest.mark.parametrize("passes", ["one", "exact"])
@pytest.mark.parametrize("estimator", ["pooled", "paper"])
def test_prior_weighs_as_so_many_examples(estimator, passes):
    torch.manual_seed(0)
    old, new = torch.randn(48, 3, 4, dtype=torch.float64) * 2 + 5, torch.randn(16, 3, 4, dtype=torch.float64) - 3
    layer = nn.BatchNorm1d(3).double()
    sn.recalibrate_(layer, old.split(16), estimator=estimator)
    mean, var = layer.running_mean.clone(), layer.running_var.clone()
    fresh = nn.BatchNorm1d(3).double()
    sn.recalibrate_(fresh, new.split(8), estimator=estimator)
    sn.recalibrate_(layer, new.split(8), estimator=estimator, passes=passes, prior=48)
    w = 48 / (48 + 16)
    assert_close(layer.running_mean, w * mean + (1 - w) * fresh.running_mean)
    between = w * (1 - w) * (mean - fresh.running_mean).square() if estimator == "pooled" else 0
    assert_close(layer.running_var, w * var + (1 - w) * fresh.running_var + between)
    if estimator == "pooled":  # of all values together, but for Bessel's correction of each part
        assert_close(layer.running_var, torch.cat([old, new]).transpose(0, 1).flatten(1).var(1), rtol=0.02, atol=0)


def test_prior_of_a_layer_that_is_used_twice_counts_examples_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(2)

        def forward(self, x):
            return self.norm(x) + self.norm(x)

    x = torch.randn(10, 2)
    model = Twice()
    sn.recalibrate_(model, [x], prior=30)
    assert_close(model.norm.running_mean, x.mean(0) / 4)


def test_prior_is_checked_before_anything_changes():
    model, x = network(), torch.randn(4, *DATA).double()
    before = state_of(model)
    for prior in (-1, float("inf"), float("nan")):
        with pytest.raises(ArgumentError, match="a finite number of examples, 0 or more; received"):
            sn.recalibrate_(model, [x], prior=prior)
    assert_unchanged(model, before)
    model[1].running_var[0] = torch.nan
    before = state_of(model)
    with pytest.raises(ModelError, match="mixed in must be finite"):
        sn.recalibrate_(model, [x], prior=4)
    assert_unchanged(model, before)


@pytest.mark.parametrize("method", CATALOGUE, ids=lambda method: method.name)
@NOTHING_DONE
def test_no_method_gets_statistics_of_another_meaning(method):
    """What a layer would keep of one batch with momentum 1 is what recalibration gives it, or it says why not."""
    if method.name == "domain":
        pytest.skip("its parts are batch norms")
    kind = method.layers.get(1) or next(iter(method.layers.values()))
    layer = kind(4, **({"momentum": 1.0} if "momentum" in signature(kind).parameters else {}), **method.options)
    x = torch.randn(32, 4, 10) * 2 + 1
    once = copy.deepcopy(layer)
    with sn.nn.condition(0):
        report = sn.recalibrate_(layer, [x])
    if report.rows[0]["done"] == "skipped":
        assert report.rows[0]["why"] in (
            "frozen",
            f"{kind.__name__} keeps norms, not variances",
            f"{kind.__name__} keeps a covariance, not variances",
            f"{kind.__name__} keeps the statistics of its reference batch, not of the data",
        )
    else:
        with sn.nn.condition(0):
            once.train()(x)
        assert_close(statistics(layer), statistics(once), rtol=1e-5, atol=1e-5)
