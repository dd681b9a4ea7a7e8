"""Fold the batch norms of a network into its convolutions, export the result to ONNX, and run it in onnxruntime."""

import importlib.util
import tempfile
from pathlib import Path

import torch
from torch import nn

import steadynorm as sn

torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(3, 16, 3, bias=False), sn.nn.BatchNorm2d(16, activation="relu"),
    nn.Conv2d(16, 8, 3, bias=False), sn.nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10),
)  # fmt: skip
for _ in range(20):
    model(torch.randn(16, 3, 12, 12) * 2 + 1)
model.eval()

image = torch.randn(1, 3, 12, 12)
folded, report = sn.fold(model, image)  # a copy, compared with the original
print(report)
assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]

if all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime")):
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "folded.onnx")
        torch.onnx.export(folded, (image,), file, dynamo=True, verbose=False)
        session = onnxruntime.InferenceSession(file)
        (y,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    torch.testing.assert_close(torch.from_numpy(y), model(image), rtol=1e-4, atol=1e-4)
    print("onnxruntime gives what the model gave before it was folded")
else:
    print("to export: pip install onnx onnxscript onnxruntime")
