"""A run is a function of its job: batches, distortion, rates, divergence, and resumption to the last bit."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steadynorm.errors import DataError
from steadynorm.lab.claims.ladder._arms import ARMS
from steadynorm.lab.runs import job as jobs_of_runs
from steadynorm.lab.runs.batches import batch_indices, distort_
from steadynorm.lab.runs.job import Job, run
from steadynorm.lab.runs.job import JobTraining as Training

JOB = Job(
    claim="ladder",
    recipe=ARMS["Inception"],
    learning_rate=0.03,
    initialization="he",
    seed=0,
    data="digits",
    width=Fraction(1, 32),
    steps=10,
    evaluate_every=5,
)


def epoch(number, examples, batch, shuffling, seed=0):
    batches = -(-examples // batch)
    return [batch_indices(number * batches + i, examples, batch, shuffling, seed).tolist() for i in range(batches)]


@given(st.integers(1, 200), st.integers(1, 40), st.sampled_from(["batches", "examples"]), st.integers(0, 5))
def test_an_epoch_visits_every_example(examples, batch, shuffling, seed):
    batches = epoch(seed, examples, batch, shuffling, seed)
    assert {len(b) for b in batches} == {batch}
    assert {index for b in batches for index in b} == set(range(examples))
    # no more repeated than it takes to fill the last batch
    assert sum(map(len, batches)) - examples < batch


def test_shuffling_batches_keeps_their_members():
    first, second = (epoch(n, 100, 10, "batches") for n in (0, 1))
    assert sorted(map(sorted, first)) == sorted(map(sorted, second))
    assert first != second


def test_shuffling_examples_changes_the_members():
    first, second = (epoch(n, 100, 10, "examples") for n in (0, 1))
    assert sorted(map(sorted, first)) != sorted(map(sorted, second))


@pytest.mark.parametrize("shuffling", ["batches", "examples"])
def test_batches_are_the_seeds(shuffling):
    assert epoch(0, 100, 10, shuffling, seed=0) == epoch(0, 100, 10, shuffling, seed=0)
    assert epoch(0, 100, 10, shuffling, seed=0) != epoch(0, 100, 10, shuffling, seed=1)


def test_distortion():
    x = torch.randn(64, 3, 5, 5)
    torch.testing.assert_close(distort_(x.clone(), 0.0, torch.rand(2, 64)), x)
    y = distort_(x.clone(), 0.3, torch.rand(2, 64, generator=torch.Generator().manual_seed(1)))
    contrast = (y.std((1, 2, 3)) / x.std((1, 2, 3))).sub(1)
    brightness = y.mean((1, 2, 3)) - x.mean((1, 2, 3))
    for change in (contrast, brightness):  # over the whole range, an image each
        assert change.abs().max() <= 0.3 + 1e-5
        assert change.max() > 0.2
        assert change.min() < -0.2
    assert torch.corrcoef(torch.stack([contrast, brightness]))[0, 1].abs() < 0.5  # drawn apart
    centred_x, centred_y = (t - t.mean((1, 2, 3), keepdim=True) for t in (x, y))
    torch.testing.assert_close(centred_y, centred_x * (1 + contrast[:, None, None, None]))


def test_the_rate_halves():
    trained = Training(replace(JOB, recipe=replace(JOB.recipe, halvings=2.0), steps=4))
    rates = []
    for _ in range(4):
        trained.advance()
        rates.append(trained.optimizer.param_groups[0]["lr"])
        assert len({group["lr"] for group in trained.optimizer.param_groups}) == 1
    assert rates == pytest.approx([0.03 * 0.5 ** (2 * step / 4) for step in range(4)])


def test_weights_alone_decay():
    trained = Training(replace(JOB, recipe=ARMS["BN-x5"]))
    decayed, spared = trained.optimizer.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (ARMS["BN-x5"].weight_decay, 0)
    assert {p.dim() for p in decayed["params"]} == {2, 4}
    assert {p.dim() for p in spared["params"]} == {1}
    assert len(decayed["params"]) + len(spared["params"]) == len(list(trained.network.parameters()))


def test_inputs_are_standardized_by_the_train_part():
    trained = Training(JOB)
    x = trained.batches.input(trained.batches.data.train)
    assert x.mean().item() == pytest.approx(0, abs=1e-4)
    assert x.std().item() == pytest.approx(1, rel=1e-4)


def test_arms_of_one_seed_start_alike_and_see_the_same_batches():
    plain, normalized = Training(JOB), Training(replace(JOB, recipe=ARMS["BN-Baseline"]))
    for name, weight in plain.network.named_parameters():
        if weight.dim() > 1:
            assert torch.equal(weight, dict(normalized.network.named_parameters())[name])
    assert torch.equal(plain.batches.data.train.images, normalized.batches.data.train.images)


def test_a_step_follows_the_gradient_of_the_batch():
    """One step of the loop against the same step written out."""
    recipe = replace(ARMS["BN-x5"], distortion=0.0)
    trained = Training(replace(JOB, recipe=recipe))
    copy = Training(replace(JOB, recipe=recipe))
    batch = copy.batches.data.train[batch_indices(0, len(copy.batches.data.train), 32, "examples", 0)]
    loss = torch.nn.functional.cross_entropy(copy.network.train()(copy.batches.input(batch)), batch.labels)
    loss.backward()
    before = copy.network.head.weight.detach().clone()
    assert trained.advance() == pytest.approx(loss.item(), rel=1e-5)
    gradient = copy.network.head.weight.grad + recipe.weight_decay * before
    torch.testing.assert_close(trained.network.head.weight, before - 0.03 * gradient)


@pytest.mark.parametrize("arm", ["Inception", "BN-x5"])
def test_resumes_to_the_last_bit(tmp_path, arm):
    job = replace(JOB, recipe=ARMS[arm], steps=10)

    def go(name, stop_at=None):
        lines = []
        result = run(
            job,
            tmp_path / name,
            stopped=lambda: stop_at is not None and len(lines) == stop_at,
            report=lambda line: lines.append(line),
        )
        return result, lines

    whole, lines = go("whole.pt")
    stopped, first = go("halved.pt", stop_at=5)
    assert stopped is None
    assert [line["step"] for line in first] == [1, 2, 3, 4, 5]
    halved, second = go("halved.pt")
    assert [line["step"] for line in second] == [6, 7, 8, 9, 10]
    assert first + second == lines  # every loss and accuracy, bit for bit
    assert {**halved, "seconds": 0} == {**whole, "seconds": 0}
    assert [step for step, _ in whole["curve"]] == [5, 10]


def test_saves_in_between(tmp_path, monkeypatch):
    """A killed run goes on from the last save, and ends with the same numbers."""
    monkeypatch.setattr(jobs_of_runs, "_SAVE_EVERY", 4)
    lines = []

    def killed(line):
        if line["step"] == 7:
            raise KeyboardInterrupt
        lines.append(line)

    with pytest.raises(KeyboardInterrupt):
        run(JOB, tmp_path / "killed.pt", report=killed)
    resumed = run(JOB, tmp_path / "killed.pt", report=lines.append)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6, 5, 6, 7, 8, 9, 10]
    whole = run(JOB, tmp_path / "whole.pt")
    assert {**resumed, "seconds": 0} == {**whole, "seconds": 0}


def test_a_state_of_another_version_is_refused(tmp_path):
    state = Training(JOB).state()
    del state["place"]
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(DataError, match=r"state\.pt lacks place; remove it, and the run begins anew"):
        run(JOB, tmp_path / "state.pt")


def test_dropout_goes_on_where_it_was(tmp_path):
    trained, restored = Training(JOB), Training(JOB)
    trained.advance()
    trained.save(tmp_path / "state.pt")
    restored.restore(tmp_path / "state.pt")
    assert torch.equal(trained.dropout_state, restored.dropout_state)
    assert not torch.equal(trained.dropout_state, Training(JOB).dropout_state)
    torch.manual_seed(99)  # the caller's generator is neither used nor touched
    before = torch.get_rng_state()
    restored.advance()
    assert torch.equal(torch.get_rng_state(), before)


def test_divergence_is_a_loss_that_is_not_finite(tmp_path):
    lines = []
    result = run(replace(JOB, learning_rate=1e8, evaluate_every=1), tmp_path / "state.pt", report=lines.append)
    assert result["diverged_at"] == len(lines) < JOB.steps
    assert lines[-1]["loss"] is None
    assert "validation_accuracy" not in lines[-1]
    assert [step for step, _ in result["curve"]] == list(range(1, result["diverged_at"]))
    assert all(isinstance(line["loss"], float) for line in lines[:-1])


def test_a_run_that_diverges_before_its_first_evaluation_has_no_accuracy(tmp_path):
    result = run(replace(JOB, learning_rate=1e8), tmp_path / "state.pt")
    assert result["diverged_at"] < 5
    assert (result["curve"], result["best_validation_accuracy"], result["test_accuracy"]) == ([], None, None)


def test_the_test_part_is_judged_by_the_best_weights_and_only_if_asked(tmp_path, monkeypatch):
    trained = Training(JOB)
    accuracies, judged = iter([0.2, 0.9, 0.4]), []
    monkeypatch.setattr(trained, "accuracy", lambda part: next(accuracies))
    for _ in range(3):
        trained.advance()
        trained.evaluate()
        if trained.step == 2:
            best = {name: value.clone() for name, value in trained.network.state_dict().items()}
    monkeypatch.setattr(trained, "accuracy", lambda part: judged.append(sum(len(labels) for _, labels in part)) or 0.5)
    result = trained.result()
    assert judged == [len(trained.batches.data.test)]
    assert (result["best_validation_accuracy"], result["test_accuracy"]) == (0.9, 0.5)
    assert all(torch.equal(value, best[name]) for name, value in trained.network.state_dict().items())
    assert run(replace(JOB, tested=False), tmp_path / "state.pt")["test_accuracy"] is None


def test_accuracy_counts_hits_in_evaluation_mode():
    trained = Training(replace(JOB, recipe=ARMS["BN-x5"]))
    trained.network.head.weight.data.zero_()
    trained.network.head.bias.data.zero_()[3] = 1.0  # always answers 3
    images = trained.batches.data.validation
    before = {name: value.clone() for name, value in trained.network.named_buffers()}
    assert trained.accuracy(trained.batches.part(images)) == (images.labels == 3).sum().item() / len(images)
    assert all(torch.equal(value, before[name]) for name, value in trained.network.named_buffers())


def test_names_are_unique():
    jobs = [
        JOB,
        replace(JOB, seed=1),
        replace(JOB, claim="other"),
        replace(JOB, initialization="glorot"),
        replace(JOB, learning_rate=0.1),
        replace(JOB, tested=False),
        replace(JOB, recipe=ARMS["BN-Baseline"]),
    ]
    assert len({job.id for job in jobs}) == len(jobs)
