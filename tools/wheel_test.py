"""Build the wheel, install it with torch alone in a clean environment, and use it there."""

import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

USE = """
import torch, steadynorm as sn
layer = sn.nn.BatchNorm2d(3, activation="relu")
y = layer(torch.randn(8, 3, 4, 4))
assert y.shape == (8, 3, 4, 4) and int(layer.num_batches_tracked) == 1
y, moments = sn.functional.batch_norm(torch.randn(8, 3), eps=1e-5)
assert moments.mean.shape == (3,)
print("layer and function run with torch alone")
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        run = subprocess.run
        pip = [sys.executable, "-m", "pip"]
        run([*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, str(ROOT)], check=True)
        (wheel,) = scratch.glob("steadynorm-*.whl")
        if "steadynorm/results/ladder/cifar10.json" not in zipfile.ZipFile(wheel).namelist():
            sys.exit("the wheel must carry the record that `steadynorm explain` draws")
        venv.create(scratch / "env", with_pip=True)
        python = scratch / "env" / "bin" / "python"
        constraints = str(ROOT / "constraints.txt")
        run([python, "-m", "pip", "install", "--quiet", "--constraint", constraints, str(wheel)], check=True)
        run([python, "-W", "ignore", "-c", USE], check=True, cwd=folder)
        command = run(
            [scratch / "env" / "bin" / "steadynorm", "reproduce"],
            capture_output=True,
            text=True,
            cwd=folder,
            check=False,
        )
        print(command.stderr.strip())
        if command.returncode != 3 or "steadynorm[lab]" not in command.stderr:
            sys.exit(f"without its extra the command line must exit with 3 and name it, got {command.returncode}")


if __name__ == "__main__":
    main()
