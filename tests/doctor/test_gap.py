"""The gap between running and batch statistics: shared out rightly, and the model the same afterwards."""

import json
import pickle

import pytest
import torch
from torch import nn

import steadynorm as sn
from surgery_models import assert_unchanged, state_of


class Residual(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.conv = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.norm = norm(6)

    def forward(self, x):
        return x + 0.5 * torch.relu(self.norm(self.conv(x)))


def deep(depth=50, norm=nn.BatchNorm2d, seed=0):
    """A network whose statistics are right, and data whose labels are what it says of them."""
    torch.manual_seed(seed)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 5))
    model = nn.Sequential(*(Residual(norm) for _ in range(depth)), head)
    images = [torch.randn(32, 6, 5, 5) for _ in range(6)]
    sn.recalibrate_(model, images, passes="one")
    with torch.no_grad():
        head[2].bias -= torch.cat([model.eval()(x) for x in images]).mean(0)  # so that all labels occur
        return model, [(x, model(x).argmax(1)) for x in images]


def accuracy(outputs, batch):
    return (outputs.argmax(1) == batch[1]).double().mean()


def spoil(layer):
    with torch.no_grad():
        layer.running_mean -= 4 * layer.running_var.sqrt()
        layer.running_var *= 0.01
        layer.num_batches_tracked.fill_(1000)


@pytest.mark.parametrize("bad", [0, 23, 49])
@pytest.mark.parametrize("norm", [nn.BatchNorm2d, sn.nn.BatchNorm2d])
def test_one_bad_layer_of_fifty_gets_the_gap(bad, norm):
    model, batches = deep(norm=norm)
    spoil(model[bad].norm)
    before = state_of(model)
    gap = sn.explain_gap(model, batches, accuracy)
    assert_unchanged(model, before)
    assert gap.recalibrated > 0.9
    assert gap.gap > 0.3
    first = gap.shares[0]
    assert first.layers == [f"{bad}.norm"]
    assert first.share >= 0.9 * gap.gap
    assert first.cause.startswith("far-from-data")
    assert first.fix == "sn.recalibrate_(model, batches)"
    assert not gap.interactions
    assert gap.passes < 40


def test_two_bad_layers_that_interact_are_said_to():
    model, batches = deep()
    spoil(model[10].norm)
    spoil(model[40].norm)
    gap = sn.explain_gap(model, batches, accuracy)
    assert {"10.norm", "40.norm"} == {one.layers[0] for one in gap.shares[:2]}
    assert {"10.norm", "40.norm"} == set(gap.interactions[0][:2])
    assert "interact" in str(gap)
    total = sum(one.share for one in gap.shares) + gap.rest
    assert total == pytest.approx(gap.recoverable)


def test_a_healthy_model_has_nothing_to_share_out():
    model, batches = deep(8)
    gap = sn.explain_gap(model, batches, accuracy)
    assert not gap.shares
    assert gap.passes == 3
    assert "nothing to share out" in str(gap)


def test_the_metrics_are_those_of_the_three_kinds_of_statistics():
    model, batches = deep(4)
    spoil(model[1].norm)
    gap = sn.explain_gap(model, batches, accuracy, try_recalibration=True)

    def measured(model):
        with torch.no_grad():
            return float(torch.stack([accuracy(model(b[0]), b) for b in batches]).mean())

    assert gap.running == pytest.approx(measured(model))
    with sn.batch_statistics(model):
        assert gap.batch == pytest.approx(measured(model))
    sn.recalibrate_(model, batches)
    assert gap.recalibrated == pytest.approx(measured(model))
    sn.recalibrate_(model, batches, passes="exact")
    assert gap.tried == pytest.approx(measured(model))


def test_batches_of_different_sizes_weigh_by_their_examples():
    model, batches = deep(2)
    spoil(model[0].norm)
    x, y = batches[0]
    gap = sn.explain_gap(model, [(x[:24], y[:24]), (x[24:], y[24:])], accuracy)
    with torch.no_grad():
        assert gap.running == pytest.approx(float(accuracy(model(x), (x, y))))


def test_batches_that_tell_what_an_example_does_not():
    """Each batch of one class, which its own statistics take away: no running statistics bring that back."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm1d(1), nn.Flatten(0))
    batches = [(torch.randn(64, 1) * 0.1 + shift, None) for shift in (-5.0, 5.0)]
    sn.recalibrate_(model, [b[0] for b in batches])
    gap = sn.explain_gap(model, batches, lambda out, batch: out.square().mean())
    assert gap.batch == pytest.approx(1.0, abs=1e-2)
    gap = sn.explain_gap(model, batches, lambda out, batch: (out.std() > 0.5).double())
    assert (gap.running, gap.batch, gap.recalibrated) == (0.0, 1.0, 0.0)
    assert not gap.shares


def test_frozen_and_other_layers_have_no_share_and_it_says_why():
    model, batches = deep(3)
    sn.freeze_(model, where="0.*")
    model[1].norm = sn.nn.WhiteningNorm2d(6)
    sn.recalibrate_(model, [b[0] for b in batches], where="2.*")
    spoil(model[2].norm)
    gap = sn.explain_gap(model, batches, accuracy)
    text = str(gap)
    assert "no share, since frozen: 0.norm" in text.replace(", or held in evaluation while the model trains", "")
    assert "WhiteningNorm2d keeps a covariance, not variances: 1.norm" in text


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("failing", [1, 9, 20])
def test_nothing_changes_if_it_fails(error, failing):
    model, batches = deep(6)
    spoil(model[2].norm)
    model.train()
    calls = []

    def metric(outputs, batch):
        calls.append(1)
        if len(calls) == failing:
            raise error("stop")
        return accuracy(outputs, batch)

    before = state_of(model)
    with pytest.raises(error, match="stop"):
        sn.explain_gap(model, batches, metric)
    assert_unchanged(model, before)
    assert model[2].norm.training


def test_dropout_is_off():
    model, batches = deep(2)
    noisy = nn.Sequential(nn.Dropout(0.9), model).train()
    state = torch.get_rng_state()
    gap = sn.explain_gap(noisy, batches, accuracy)
    assert torch.equal(torch.get_rng_state(), state)
    assert gap.running == 1.0
    assert noisy[0].training


def test_a_budget_leaves_groups_whole():
    model, batches = deep(20)
    for block in model[:-1]:
        spoil(block.norm)
    gap = sn.explain_gap(model, batches, accuracy, max_passes=12)
    assert gap.passes <= 12
    assert any("layers)" in one.name for one in gap.shares)
    total = sum(one.share for one in gap.shares) + gap.rest
    assert total == pytest.approx(gap.recoverable)


def test_a_metric_that_is_not_finite_leaves_the_findings():
    model, batches = deep(3)
    model[1].norm.running_var.fill_(float("nan"))
    gap = sn.explain_gap(model, batches, lambda out, batch: out.square().mean())
    assert not gap.shares
    assert "not finite" in str(gap)
    assert "non-finite" in {one.rule for one in gap.diagnosis}
    assert json.loads(json.dumps(gap.to_dict(), allow_nan=False))["running"] is None


def test_how_it_shows():
    model, batches = deep(4)
    spoil(model[1].norm)
    gap = sn.explain_gap(model, batches, accuracy)
    assert "1.norm" in gap._repr_html_()
    assert pickle.loads(pickle.dumps(gap)) == gap
    plain = json.loads(json.dumps(gap.to_dict(), allow_nan=False))
    assert plain["shares"][0]["layers"] == ["1.norm"]
    assert {row["layer"] for row in gap.report()} >= {"1.norm"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": 3}, "metric must be a function"),
        ({"metric": lambda out, batch: out}, "metric must return one number"),
        ({"metric": lambda out, batch: None}, "received NoneType"),
        ({"max_passes": 3}, "max_passes must be 8 or more"),
        ({"batches": []}, "received none"),
        ({"batches": torch.zeros(2, 6, 5, 5)}, "put a single batch into a list"),
    ],
)
def test_arguments(arguments, message):
    model, batches = deep(1)
    given = {"batches": batches, "metric": accuracy, **arguments}
    with pytest.raises(sn.errors.ArgumentError, match=message):
        sn.explain_gap(model, **given)
