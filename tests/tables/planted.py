"""Run folders as training leaves them, for the audit to read: rows a, b and c alike, and one row `odd` that differs."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from levelfield.runs import Predictions, RunFolder, write_json, write_predictions
from levelfield.spec import RunSpec
from levelfield.spec.science_revisions import revisions
from levelfield.tables import Row, StudyRows, build_table
from levelfield.tables.audit import AuditReport
from levelfield.training.environment import describe_environment
from synthetic_runs import spec_of, write_run

IMAGES = 40
Change = Callable[[Path], None]


def environment() -> dict[str, Any]:
    """Everything that a run on a GPU records of where it ran."""
    gpu = {"gpu": "Example GPU", "gpu_memory_mib": 81920, "cuda": "13.0"}
    return {**describe_environment(torch.device("cpu")), **gpu, "processes": 1, "data_checksum": "ab" * 32}


ENVIRONMENT = environment()


def write(folder: Path, spec: RunSpec, **result: Any) -> RunFolder:
    """One finished run: predictions of its own, the result that follows from them, and its environment."""
    result = {"data_official": True, "failed_before": [], "steps": 2112, **result}
    run = write_run(folder, spec, images=IMAGES, **result)
    edit(folder / "run.json", {"revisions": revisions(spec)})
    write_json(folder / "environment.json", ENVIRONMENT)
    redraw(folder)
    return run


def redraw(folder: Path, images: int = IMAGES) -> None:
    """Give a run predictions that no other folder has, on the first `images` test images; the scores stay."""
    found = RunFolder(folder).predictions()
    assert found is not None
    noise = np.random.default_rng(zlib.crc32(str(folder).encode())).uniform(0.9, 1.0, (images, 1)).astype(np.float32)
    p = found.probabilities[:images] * noise
    p[np.arange(images), p.argmax(1)] += 1 - p.sum(1)
    write_predictions(folder / "predictions.parquet", Predictions(found.index[:images], found.label[:images], p))
    restate(folder)


def restate(folder: Path) -> None:
    """Let result.json say what the predictions give."""
    from levelfield.evaluation import evaluate_probabilities

    found = RunFolder(folder).predictions()
    assert found is not None
    edit(folder / "result.json", evaluate_probabilities(found.probabilities, found.label).as_result())


def edit(path: Path, changes: Mapping[str, Any]) -> None:
    write_json(path, {**json.loads(path.read_text(encoding="utf-8")), **changes})


def rows_of(
    folder: Path, odd: Mapping[str, Any] | None = None, seeds: Sequence[int] = (0, 1),
    change: Change | None = None, base: Mapping[str, Any] | None = None, **result: Any,
) -> list[Row]:  # fmt: skip
    """Rows a, b, c and odd. `odd`: what its runs' settings have otherwise; `change` is done to each of its folders;
    `base`: settings of all rows; `result`: what its result.json says otherwise."""
    own = {**(base or {}), **(odd or {})}
    runs = []
    for seed in seeds:
        place = folder / "odd" / f"seed{seed}"
        runs.append(write(place, spec_of("resnet_mini", seed, **own), **result))
        if change is not None:
            change(place)
    return [*_alike(json.dumps(base or {}), tuple(seeds)), Row("odd", runs=tuple(runs))]


@cache
def _alike(base: str, seeds: tuple[int, ...]) -> tuple[Row, ...]:
    """Rows a, b and c, written once for all tests, which leave them as they are."""
    root = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, root)
    specs = [spec_of("resnet_mini", seed, **json.loads(base)) for seed in seeds]
    return tuple(
        Row(name, runs=tuple(write(root / name / f"seed{spec.seed}", spec) for spec in specs))
        for name in ("a", "b", "c")
    )


def audited(rows: Sequence[Row], varies: Sequence[str] = ("model.name",), path: Path | None = None) -> AuditReport:
    return build_table(StudyRows("planted", tuple(rows), varies=tuple(varies), path=path)).audit
