"""Small images and containers made on the spot."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def random_images(count: int, height: int = 12, width: int | None = None, seed: int = 0) -> np.ndarray:
    """uint8 (count, height, width, 3), every image another."""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width or height, 3), dtype=np.uint8)


def encode(pixels: np.ndarray, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


def write_parquet(path: Path, images: list[bytes], labels: object, classes: list[str] | None = None) -> None:
    """One shard in the Hugging Face image layout."""
    column = pa.array(
        [{"bytes": data, "path": f"{number}.jpg"} for number, data in enumerate(images)],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    table = pa.table({"image": column, "label": labels})
    if classes is not None:
        features = {"label": {"names": classes, "_type": "ClassLabel"}, "image": {"_type": "Image"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=7)
