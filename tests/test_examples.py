"""Every example runs as it stands, in a folder of its own, and is short."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SAYS = {
    "finetune_frozen_backbone": "every statistic is what it was",
    "fold_and_onnx": "folded 2 of 2 batch norms",
    "ladder_on_your_images": "Steps to the baseline's best validation accuracy",
    "masked_speech": "becomes what it becomes alone",
    "synchronized_processes": "trained what one process of eight trains",
    "batches_of_two": "renorm: ",
    "ema_and_recalibrate": "recalibrated 4 of 4 normalization layers",
}


def test_each_is_known():
    assert {path.stem for path in EXAMPLES} == set(SAYS)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_runs(path, tmp_path):
    assert len(path.read_text().splitlines()) <= 60
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, path], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert SAYS[path.stem] in done.stdout
