"""How near the building of a store comes to what the cores can decode: images a second, beside a bare decoding loop.

Three data sets are written first, from parts of scikit-learn's two photographs: Parquet of PNG files of 32 px (as CIFAR
comes), class folders of JPEG files of 64 px (as Tiny ImageNet comes) and of 500 x 375 px. In rounds that take turns,
each is decoded by a bare loop (Pillow alone, a process a core, nothing kept), and opened for the first time: by
processes, as large data sets are, and by threads alone. Opening decodes, digests, gathers statistics and writes pixels
(the large photographs at 224 px); the time that processes take to start is counted.

    python benchmarks/store.py [--images 8000] [--large 400] [--rounds 3] [--json]
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from sklearn.datasets import load_sample_images

from levelfield.data import open_data
from levelfield.data.store import over_cores
from levelfield.spec import DataSpec

PHOTOGRAPHS: Final = load_sample_images().images


def encoded(count: int, height: int, width: int, form: str) -> list[bytes]:
    """Parts of the two photographs, every one another."""
    draw, files = np.random.default_rng(0), []
    for number in range(count):
        photograph = PHOTOGRAPHS[number % 2]
        top, left = (int(draw.integers(0, room)) for room in (427 - height + 1, 640 - width + 1))
        part = photograph[top : top + height, left : left + width]
        part = part[::-1] if draw.integers(2) else part
        buffer = io.BytesIO()
        Image.fromarray(np.roll(part, int(draw.integers(width)), axis=1)).save(buffer, form, quality=90)
        files.append(buffer.getvalue())
    return files


def in_parquet(root: Path, files: list[bytes]) -> None:
    for split, part in (("train", files[: -len(files) // 5]), ("test", files[-len(files) // 5 :])):
        column = pa.array([{"bytes": data, "path": None} for data in part])
        pq.write_table(pa.table({"image": column, "label": [row % 10 for row in range(len(part))]}),
                       root / f"{split}.parquet", row_group_size=1000)  # fmt: skip


def in_folders(root: Path, files: list[bytes]) -> None:
    for row, data in enumerate(files):
        path = root / ("test" if row % 5 == 4 else "train") / f"class{row % 10 // 5}" / f"{row}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def bare(data: bytes) -> int:
    with Image.open(io.BytesIO(data)) as image:
        return int(np.asarray(image.convert("RGB"))[0, 0, 0])


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Wall seconds, and CPU seconds of this process and of those that it waited for."""
    begin, before = time.perf_counter(), sum(os.times()[:4])
    work()
    return time.perf_counter() - begin, sum(os.times()[:4]) - before


def opened(root: Path, name: str, size: int | None, many: int) -> None:
    """Open the data set `name` for the first time; by processes if it has `many` images."""
    over_cores.MANY = many  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as cache:
        os.environ["LEVELFIELD_CACHE"] = cache
        open_data(DataSpec(name=name, image_size=size), root, progress=lambda what, done, total: None)


def bare_loop(files: list[bytes]) -> None:
    with multiprocessing.get_context("fork").Pool(over_cores.cores()) as pool:
        pool.map(bare, files, chunksize=64)
        pool.close()
        pool.join()


def measured(root: Path, name: str, size: int | None, files: list[bytes], rounds: int) -> dict[str, Any]:
    """Of each way its images a second, and medians over rounds of the bare loop's wall and CPU time beside its own."""
    ways: dict[str, Callable[[], object]] = {
        "bare": lambda: bare_loop(files),
        "processes": lambda: opened(root, name, size, 1),
        "threads": lambda: opened(root, name, size, 10**9),
    }
    took: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, work in ways.items():
            took[way].append(seconds(work))
    return {
        way: {
            "images_per_s": len(files) / statistics.median(wall for wall, _ in each),
            "share_wall": statistics.median(b[0] / t[0] for b, t in zip(took["bare"], each, strict=True)),
            "share_cpu": statistics.median(b[1] / t[1] for b, t in zip(took["bare"], each, strict=True)),
        }
        for way, each in took.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--large", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    cases = {
        "PNG, 32 px, Parquet": (encoded(given.images, 32, 32, "PNG"), in_parquet, None),
        "JPEG, 64 px, folder": (encoded(given.images, 64, 64, "JPEG"), in_folders, None),
        "JPEG, 500 x 375 px, folder": (encoded(given.large, 375, 500, "JPEG"), in_folders, 224),
    }
    report = {}
    with tempfile.TemporaryDirectory() as name:
        for number, (case, (files, write, size)) in enumerate(cases.items()):
            folder = Path(name) / f"set{number}"
            folder.mkdir()
            write(folder, files)
            report[case] = measured(Path(name), folder.name, size, files, given.rounds)
    if given.json:
        print(json.dumps({"cores": over_cores.cores(), "sets": report}, indent=2))
        return
    print(f"{over_cores.cores()} cores; bare / store in wall time (in CPU time)\n")
    print("| data set | bare loop, images/s | by processes | by threads alone |\n|---|---|---|---|")
    for case, ways in report.items():
        shares = [f"{ways[way]['share_wall']:.2f} ({ways[way]['share_cpu']:.2f})" for way in ("processes", "threads")]
        print(f"| {case} | {ways['bare']['images_per_s']:.0f} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
