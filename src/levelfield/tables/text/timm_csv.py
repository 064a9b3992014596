"""The table in the columns of timm's results and benchmark CSV files (timm's validate.py and benchmark.py)."""

from __future__ import annotations

import csv
import io
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.tables.number_format import percent
from levelfield.tables.table import StudyTable, TableRow

RESULTS: Final = (
    "model", "top1", "top1_err", "top5", "top5_err", "param_count", "img_size", "crop_pct", "interpolation",
)  # fmt: skip
"""Percent; param_count in millions; img_size in px; crop_pct: the part of the resized side that is seen."""
BENCHMARK: Final = (
    "model", "infer_samples_per_sec", "infer_step_time", "infer_batch_size", "infer_img_size", "infer_gmacs",
    "infer_macts", "param_count", "train_samples_per_sec", "train_step_time", "train_batch_size", "train_img_size",
)  # fmt: skip
"""Step times in ms. infer_macts (millions of activations) is not counted here and stays empty."""


def to_timm_results(table: StudyTable) -> str:
    """timm's results CSV: a line a row that was trained here, best first, means over seeds.

    Raises UserError where the rows have several test sets: no column says which, and one is not better than the other.
    """
    rows = _own(table)
    if len(sets := dict.fromkeys(row.panel for row in rows)) > 1:
        raise UserError(
            f"timm's results file is of one test set, and these rows have {len(sets)}: {', '.join(sets)}\n"
            "--format csv has a column that says which"
        )
    return _text(RESULTS, [_result(row) for row in rows])


def to_timm_benchmark(table: StudyTable) -> str:
    """timm's benchmark CSV: a line a row whose network was profiled, and of the others what was counted."""
    return _text(BENCHMARK, [_benchmark(row) for row in _own(table)])


def _own(table: StudyTable) -> list[TableRow]:
    """The measured rows but for somebody else's, whom these columns could not mark as such."""
    return [row for row in table.measured if not row.runs.row.predictions]


def _result(row: TableRow) -> dict[str, Any]:
    top1, top5 = row.top1.value if row.top1 else None, row.means.get("top5")
    data = None if row.runs.spec is None else row.runs.spec.data
    seen = None if data is None or data.image_size is None else data.image_size / (data.resize_px or data.image_size)
    return {
        "model": row.name,
        "top1": _cell(top1),
        "top1_err": _cell(None if top1 is None else 100 - top1),
        "top5": _cell(top5),
        "top5_err": _cell(None if top5 is None else 100 - top5),
        "param_count": _millions(row),
        "img_size": None if data is None else data.image_size,
        "crop_pct": None if seen is None else f"{seen:.3g}",
        "interpolation": None if data is None else data.interpolation,
    }


def _benchmark(row: TableRow) -> dict[str, Any]:
    means, spec = row.means, row.runs.spec
    speed, step = means.get("images_per_s"), means.get("ms_per_batch")
    macs = means.get("macs")
    return {
        "model": row.name,
        "infer_samples_per_sec": None if speed is None else f"{speed:.2f}",
        "infer_step_time": None if step is None else f"{step:.3f}",
        "infer_batch_size": None if speed is None or step is None else round(speed * step / 1e3),
        "infer_img_size": None if spec is None else spec.data.image_size,
        "infer_gmacs": None if macs is None else f"{macs / 1e9:.4f}",
        "param_count": _millions(row),
        "train_batch_size": None if spec is None else spec.recipe.batch_size,
        "train_img_size": None if spec is None else spec.data.image_size,
    }


def _millions(row: TableRow) -> str | None:
    params = row.means.get("params")
    return None if params is None else f"{params / 1e6:.2f}" if params >= 1e6 else f"{params / 1e6:.4f}"


def _cell(value: float | None) -> str | None:
    return None if value is None else percent(value, 3)


def _text(columns: tuple[str, ...], lines: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()
