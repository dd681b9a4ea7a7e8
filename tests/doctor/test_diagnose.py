"""The diagnosis as a whole: it changes nothing, says what it did not do, and can be told what to leave out."""

import json
import pickle

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import steadynorm as sn
from sick_models import healthy, images, train, trained
from steadynorm.doctor.rule import all_rules
from surgery_models import DATA, assert_unchanged, network, state_of


def fingerprint(model):
    grads = [None if p.grad is None else (id(p.grad), p.grad.clone()) for p in model.parameters()]
    return state_of(model), grads


def assert_same(model, before):
    state, grads = before
    assert_unchanged(model, state)
    for p, kept in zip(model.parameters(), grads, strict=True):
        assert (p.grad is None) == (kept is None)
        if kept is not None:
            assert id(p.grad) == kept[0]
            assert torch.equal(p.grad, kept[1])


def sick_network():
    model = network()
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    return model


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norms", [(nn.BatchNorm2d, nn.BatchNorm1d), (sn.nn.BatchNorm2d, sn.nn.BatchNorm1d)])
def test_nothing_changes(training, norms):
    model = network(*norms).train(training)
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    model[1].weight.requires_grad_(False)
    handle = model[1].register_forward_hook(lambda *_: None)
    batches = [torch.randn(8, *DATA).double() for _ in range(3)]
    before = fingerprint(model)
    diagnosis = sn.diagnose(model, batches)
    assert_same(model, before)
    assert diagnosis.not_run.keys() == {"ranks-differ", "stripped-activation", "weight-decay"}
    handle.remove()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["loader", "layer", "second batch"])
def test_nothing_changes_if_it_fails(error, where):
    model = sick_network()
    calls = []

    def loader():
        yield torch.randn(8, *DATA).double()
        if where == "loader":
            raise error("stop")
        yield torch.randn(8, *DATA).double()

    def fail(*_):
        calls.append(1)
        if where != "loader" and len(calls) == (1 if where == "layer" else 3):
            raise error("stop")

    model[8].register_forward_hook(fail)
    before = fingerprint(model)
    with pytest.raises(error, match="stop"):
        sn.diagnose(model, loader())
    assert_same(model, before)


def test_ctrl_c_in_the_training_step_ends_it():
    model = trained()

    def loss(outputs, batch):
        raise KeyboardInterrupt

    before = fingerprint(model)
    with pytest.raises(KeyboardInterrupt):
        sn.diagnose(model, images(), loss=loss)
    assert_same(model, before)


def test_a_reentrant_checkpoint_leaves_gradients_alone():
    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = trained()

        def forward(self, x):
            return checkpoint(self.body, x.requires_grad_(), use_reentrant=True)

    model = Checkpointed()
    before = fingerprint(model)
    diagnosis = sn.diagnose(model, images())
    assert {one.rule for one in diagnosis} == {"counts-twice"}
    assert_same(model, before)


def test_without_batches_it_says_what_did_not_run():
    diagnosis = sn.diagnose(trained())
    needs = {id for id, rule in all_rules().items() if rule.needs}
    assert set(diagnosis.not_run) == needs
    assert set(diagnosis.ran) == set(all_rules()) - needs
    assert diagnosis.not_run["far-from-data"] == "give batches"
    assert "not run: " in str(diagnosis)
    assert not diagnosis.findings


def test_a_model_in_evaluation_of_the_layer_alone_and_of_nothing():
    layer = nn.BatchNorm1d(3)
    draw = [torch.randn(64, 3) * 3 + 7 for _ in range(60)]
    found = sn.diagnose(layer, draw)
    assert [(one.rule, one.layer, one.severity) for one in found] == [("never-updated", "(the model)", "error")]
    train(layer, draw, 100)
    assert not sn.diagnose(layer, draw).findings
    assert "no normalization layer" in str(sn.diagnose(nn.Linear(2, 2)))


def test_a_training_step_that_fails_is_a_reason():
    def loss(outputs, batch):
        raise ValueError("no labels")

    diagnosis = sn.diagnose(trained(), images(), loss=loss)
    assert diagnosis.not_run["counts-twice"] == "a training step on a copy raised ValueError: no labels"
    assert not diagnosis.findings


def spoilt():
    model = trained(bias=True)
    model[1].running_mean += 30
    model[4].running_mean += 30
    return model


def test_ignoring():
    def found(*ignore):
        return sorted((one.rule, one.layer) for one in sn.diagnose(spoilt(), images(), ignore=ignore))

    every = [("far-from-data", "1"), ("far-from-data", "4"), ("redundant-bias", "0")]
    assert found() == every
    assert found("redundant-bias") == every[:2]
    assert found("4") == [every[0], every[2]]
    assert found("far-*:1", "redundant-bias") == [every[1]]


def test_choosing_rules():
    diagnosis = sn.diagnose(spoilt(), images(), rules=["redundant-bias"])
    assert [one.rule for one in diagnosis] == ["redundant-bias"]
    assert diagnosis.ran == ["redundant-bias"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rules": ["momentums"]}, "received momentums"),
        ({"rules": "momentum"}, "received 'momentum'"),
        ({"ignore": "momentum"}, "put it into a list"),
        ({"steps": 0}, "steps must be 1 or more"),
        ({"micro_batches": 0}, "micro_batches must be 1 or more"),
        ({"batches": []}, "received none"),
        ({"batches": torch.zeros(2, 3, 6, 6)}, "put a single batch into a list"),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(sn.errors.ArgumentError, match=message):
        sn.diagnose(trained(), **arguments)


def test_how_it_shows():
    diagnosis = sn.diagnose(spoilt(), images())
    text = str(diagnosis)
    assert text.startswith("2 errors, 1 note; ")
    assert "error: far-from-data in 1 (and 1 more)\n" in text
    assert "sn.drop_redundant_biases_(model, batch)" in text
    plain = json.loads(json.dumps(diagnosis.to_dict(), allow_nan=False))
    assert plain["findings"][0]["numbers"]["largest mean shift in σ"] > 5
    assert [row["severity"] for row in diagnosis.report()] == ["error", "note"]
    assert pickle.loads(pickle.dumps(diagnosis)) == diagnosis
    assert "<td>far-from-data</td>" in diagnosis._repr_html_()
    assert [len(diagnosis.at_least(s)) for s in ("error", "warning", "note")] == [2, 2, 3]


def test_findings_that_say_the_same_are_shown_together():
    model = healthy()
    model[1].requires_grad_(False)
    assert "never-updated in 1 (and 1 more)" in str(sn.diagnose(model))


def test_steps_of_a_run():
    found = sn.diagnose(trained(momentum=0.001), steps=1000)
    assert [one.rule for one in found] == ["momentum", "momentum"]
    assert found.findings[0].numbers["still initial"] == pytest.approx(0.999**1000)
    assert "momentum=0.00299" in found.findings[0].fix
    assert not sn.diagnose(trained(momentum=0.003), steps=1000).findings


def test_momentum_that_did_not_converge_is_seen_in_the_statistics():
    model = train(healthy(momentum=0.01), images(shift=4.0), 30)
    assert {one.rule for one in sn.diagnose(model, images(shift=4.0))} == {"momentum"}
    sn.recalibrate_(model, images(shift=4.0))  # counts 12 batches, and is right
    assert not sn.diagnose(model, images(shift=4.0)).findings


def test_statistics_that_are_off_otherwise_are_not_blamed_on_momentum():
    model = trained()
    sn.recalibrate_(model, images()[:4])  # which counts 4 batches
    model[4].running_mean -= 4 * model[4].running_var.sqrt()
    assert [(one.rule, one.layer) for one in sn.diagnose(model, images())] == [("far-from-data", "4")]


def test_batches_of_other_kinds():
    model = trained()
    for batches in ([(b, 0) for b in images()], [{"input": b} for b in images()]):
        assert not sn.diagnose(model, batches).findings
    diagnosis = sn.diagnose(model, [{"image": b} for b in images()], forward=lambda model, b: model(b["image"]))
    assert not diagnosis.findings
    assert "forward=" in diagnosis.not_run["redundant-bias"]
    assert "7 batches were read" in sn.diagnose(model, images(20), max_batches=7).notes


def test_data_that_are_not_finite():
    batches = images()
    batches[3][0, 0, 0, 0] = torch.nan
    found = sn.diagnose(trained(), batches)
    assert {one.rule for one in found} == {"non-finite"}
    assert found.findings[0].numbers == {"batches": 1, "first": 3}


@pytest.mark.parametrize("seed", range(20))
def test_random_batches_are_no_finding(seed):
    """20 draws: statistics that are right within their noise, of small and large batches."""
    torch.manual_seed(seed)
    size = (8, 16, 64)[seed % 3]
    model = train(healthy(), images(60, size, seed=seed))
    assert not sn.diagnose(model, images(6, size, seed=100 + seed)).findings
