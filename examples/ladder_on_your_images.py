"""The ladder of the paper on images of your own: written as parquet, as the hub has them, and run by one command.

Here scikit-learn's digits stand for the images, and the preset is the smallest; leave ``--preset`` out for a real run.
"""

import io
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from sklearn.datasets import load_digits

from steadynorm.cli import main

digits = load_digits()
images = [Image.fromarray((array * 16).clip(0, 255).astype("uint8")).convert("RGB") for array in digits.images]


def encoded(image: Image.Image) -> dict[str, bytes | None]:
    """Return an image as the column ``img`` holds it; any format that Pillow reads will do."""
    buffer = io.BytesIO()
    image.resize((32, 32)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


if __name__ == "__main__":  # the runs are processes of their own, which read this file again
    with tempfile.TemporaryDirectory() as folder:
        for part, chosen in (("train", slice(0, 1200)), ("test", slice(1200, None))):
            table = pa.table({"img": [encoded(v) for v in images[chosen]], "label": digits.target[chosen].tolist()})
            pq.write_table(table, Path(folder, f"{part}-00000-of-00001.parquet"))
        report = Path(folder, "report.html")
        code = main(["reproduce", "--data", folder, "--preset", "smoke", "--runs", folder, "--output", str(report)])
        assert code == 0
        assert report.exists()
