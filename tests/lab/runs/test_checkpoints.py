"""Checkpoints: whole or not there, the last and the best kept, and resumption from any step to the last bit."""

import errno
import pickle
import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from steadynorm.errors import ArgumentError, DataError
from steadynorm.lab.claims.ladder._arms import ARMS
from steadynorm.lab.runs import checkpoints
from steadynorm.lab.runs.checkpoints import Checkpoints, check_weights
from steadynorm.lab.runs.job import Job, JobTraining
from steadynorm.lab.runs.training import drive

JOB = Job(
    claim="ladder",
    recipe=ARMS["Inception"],  # with dropout
    learning_rate=0.03,
    initialization="he",
    seed=0,
    data="digits",
    width=Fraction(1, 32),
    steps=6,
    evaluate_every=2,
    train=64,
    validation=40,
    test=10,
)


def state(step, best=None, value=1.0):
    weights = {"w": torch.full((3,), value)}
    curve = [] if best is None else [(1, 0.1), (best, 0.5), (best + 1, 0.5)]
    return {"step": step, "curve": curve, "network": weights, "best": weights if best else {}}


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def go(training, saved, *, stop_at=None, save_every=1):
    drive(
        training,
        lambda: saved.save(training.state()),
        evaluate_every=JOB.evaluate_every,
        save_every=save_every,
        stopped=lambda: training.step == stop_at,
        report=lambda line: None,
    )
    return training.state()


def equal(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


@pytest.mark.parametrize("arm", ["Inception", "BN-x5"])
def test_resumes_from_every_step_to_the_last_bit(tmp_path, arm):
    job = replace(JOB, recipe=ARMS[arm])
    saved = Checkpoints(tmp_path, keep=10)
    whole = go(JobTraining(job), saved)
    assert saved.steps() == [1, 2, 3, 4, 5, 6]
    for step in saved.steps()[:-1]:
        training = JobTraining(job)
        training.take_up(saved.load(step))
        assert training.step == step
        assert equal({**go(training, Checkpoints(tmp_path / "again")), "seconds": 0}, {**whole, "seconds": 0})


def test_the_last_and_the_best_are_kept(tmp_path):
    saved = Checkpoints(tmp_path, keep=2)
    saved.save(state(1))
    saved.save(state(2, best=2))
    assert names(tmp_path) == [
        "best-00000002.safetensors",
        "step-00000001.pt",
        "step-00000001.safetensors",
        "step-00000002.pt",
        "step-00000002.safetensors",
    ]
    for step in (3, 4):
        saved.save(state(step, best=2, value=step))
    assert saved.steps() == [3, 4]
    assert torch.equal(saved.load(4)["best"]["w"], torch.ones(3))  # not written again
    for step in (5, 6):
        saved.save(state(step, best=5))
    assert "best-00000002.safetensors" not in names(tmp_path)
    assert "best-00000005.safetensors" in names(tmp_path)


def test_what_is_loaded_is_what_was_saved(tmp_path):
    saved = Checkpoints(tmp_path)
    saved.save(state(7, best=2, value=0.1))
    assert equal(saved.load(7), state(7, best=2, value=0.1))


@pytest.mark.parametrize("written", range(1, 4))
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, written):
    """At each of the three files of a checkpoint."""
    saved = Checkpoints(tmp_path, keep=1)
    saved.save(state(1, best=1))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    left = [written]

    def full(path, data):
        left[0] -= 1
        if not left[0]:
            data = bytes(data)[:10]
        with path.open("wb") as file:
            file.write(data)
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"No space left.*(step|best)-00000002") as error:
        saved.save(state(2, best=2))
    assert error.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert before.items() <= {file.name: file.read_bytes() for file in tmp_path.iterdir()}.items()
    assert saved.steps() == [1]
    saved.load(1)
    saved.tidy()
    assert names(tmp_path) == sorted(before)


def test_half_a_file_of_a_killed_process_is_removed(tmp_path):
    saved = Checkpoints(tmp_path)
    saved.save(state(1))
    before = names(tmp_path)
    (tmp_path / ".step-00000002.safetensors.123").write_bytes(b"half")
    (tmp_path / "step-00000002.safetensors").write_bytes(b"the state behind it was never written")
    assert saved.steps() == [1]
    saved.tidy()
    assert names(tmp_path) == before


@pytest.mark.parametrize("file", ["step-00000002.pt", "step-00000002.safetensors", "best-00000001.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_file_is_named_with_the_way_out(tmp_path, file, damage):
    saved = Checkpoints(tmp_path)
    saved.save(state(1))
    saved.save(state(2, best=1))
    data = (tmp_path / file).read_bytes()
    if damage == "gone":
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(data[:-5] if damage == "cut" else bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(DataError, match=rf"{file} is not \(.+\); remove step-00000002\.pt to go on from step 1"):
        saved.load(2)
    saved.load(1)


def test_the_only_checkpoint_damaged(tmp_path):
    saved = Checkpoints(tmp_path)
    saved.save(state(1))
    (tmp_path / "step-00000001.pt").write_bytes(b"")
    with pytest.raises(DataError, match="begin a new run"):
        saved.load(1)


def test_nothing_is_executed(tmp_path, monkeypatch):
    saved = Checkpoints(tmp_path)
    saved.save(state(1))
    called = []
    monkeypatch.setattr(random, "seed", called.append)

    class Evil:
        def __reduce__(self):
            return random.seed, (1,)

    torch.save({"files": {}, "step": Evil()}, tmp_path / "step-00000001.pt", pickle_module=pickle)
    with pytest.raises(DataError, match=r"step-00000001\.pt is not"):
        saved.load(1)
    assert not called


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"a": torch.ones(2)}, "1 tensors are missing, b among them"),
        ({"a": torch.ones(2), "b": torch.ones(3), "c": torch.ones(1)}, "1 have no place, c among them"),
        ({"a": torch.ones(2), "b": torch.ones(4)}, r"b is \(4,\) in place of \(3,\)"),
    ],
)
def test_another_network(found, words):
    wanted = {"a": torch.ones(2), "b": torch.ones(3)}
    check_weights(wanted, wanted, "x")
    with pytest.raises(DataError, match=rf"that of step-1 {words}; give the recipe"):
        check_weights(found, wanted, "step-1")


def test_at_least_one_is_kept(tmp_path):
    with pytest.raises(ArgumentError, match="at least 1"):
        Checkpoints(tmp_path, keep=0)


def test_a_save_reads_no_weights_of_others(tmp_path, monkeypatch):
    """Saving costs the same however many are kept."""
    saved = Checkpoints(tmp_path, keep=3)
    saved.save(state(1))
    monkeypatch.setattr(checkpoints, "from_bytes", None)
    saved.save(state(2))
