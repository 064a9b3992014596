"""Somebody else's results as rows of a study: scores of their runs, or predictions of every test image.

A folder (or one file) of theirs holds

```
scores.csv (or .parquet)        row, seed, top1 [percent], and if known top5, params, macs, data, images: a line a run
predictions/ROW/*.parquet       index, label, probabilities: a file a run, as predictions.parquet of a run
predictions/ROW/*.csv           index, label, p0, p1, ...: the same as text
benchmark.csv                   timm's: model, infer_gmacs, param_count [millions]: the costs of rows that have scores
```
or is a CSV of timm's results (model, top1, top5, param_count [millions]), of which each line is a run of its own row.
All is read and checked before anything is kept; predictions must be of the study's test images and labels.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from levelfield.errors import UserError
from levelfield.runs import Predictions, folder_name, read_predictions, write_json, write_predictions
from levelfield.studies.declared.study import NAME
from levelfield.studies.results.study_json import read_study_json, rows_as_json
from levelfield.studies.results.study_rows import FOREIGN, foreign_rows
from levelfield.system.files import rename
from levelfield.tables.comparable_rows import check_stated, check_together
from levelfield.tables.foreign_scores import SCORES, StatedRun, stated_run, write_stated
from levelfield.tables.read_folder import read_study
from levelfield.tables.runs_of_row import read_row

PREDICTIONS: Final = "predictions"
BENCHMARK: Final = "benchmark.csv"
MILLION, BILLION = 1e6, 1e9
THOUSANDS: Final = re.compile(r"\d{1,3}(,\d{3})+(\.\d*)?")
"""1,014.45, as timm writes parameters."""


def add_results(out: Path, source: Path) -> list[str]:
    """Let what `source` (a folder or file of somebody else's) holds stand in the study of `out`; the rows' names.

    Raises UserError for what is missing, damaged, of other test images or labels, or named as a row that the study
    trains itself or has already; nothing is kept then.
    """
    study = read_study_json(out)
    own = [read_row(row) for row in read_study(out).rows]
    stated, predicted = _scores(source), _predictions(source)
    if not stated and not predicted:
        raise UserError(
            f"{source} holds no results: neither scores.csv (row, seed, top1) nor {PREDICTIONS}/ROW/*.parquet\n"
            "docs/how-to/share-results.md says what each holds"
        )
    for name in (*stated, *predicted):
        _check_name(name, study, out)
    if both := sorted(stated.keys() & predicted.keys()):
        raise UserError(
            f"{source}: {both[0]!r} has scores and predictions\nleave one out: scores follow from predictions"
        )
    for name, files in predicted.items():
        check_together({str(where): each for where, each in files}, own, name)
    for name, runs in stated.items():
        check_stated(runs, own, f"{source}: {name}")
    for name in (*stated, *predicted):
        beside = out / f".{FOREIGN}" / name  # a row is there whole or not at all
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        if name in stated:
            write_stated(beside / SCORES, stated[name])
        for number, (_, each) in enumerate(predicted.get(name, ())):
            write_predictions(beside / f"run_{number:03d}.parquet", each)
        (out / FOREIGN).mkdir(exist_ok=True)
        rename(beside, out / FOREIGN / name)
    shutil.rmtree(out / f".{FOREIGN}", ignore_errors=True)
    kept = [row for row in study["rows"] if row["declared"] or not row.get("predictions")]
    write_json(out / "study.json", {**study, "rows": kept + rows_as_json(foreign_rows(out), out)})
    return [*stated, *predicted]


def _check_name(name: str, study: Mapping[str, Any], out: Path) -> None:
    if not NAME.fullmatch(name):
        raise UserError(f"row name {name!r} cannot be a folder's name; use letters, digits, '-', '_', '.' and '+'")
    if name in {row["name"] for row in study["rows"] if row["declared"]}:
        raise UserError(f"{name!r} is a row of {study['name']} itself; give somebody else's row another name")
    if (out / FOREIGN / name).exists():
        raise UserError(f"{name!r} is in {out} already; remove {out / FOREIGN / name} first, or name it otherwise")


def _scores(source: Path) -> dict[str, list[StatedRun]]:
    """By row the runs that the file of scores states; none where there is no such file."""
    files = [source] if source.is_file() else [source / SCORES, source / "scores.parquet"]
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        return {}
    found: dict[str, list[StatedRun]] = {}
    costs = Benchmark.read(source / BENCHMARK) if (source / BENCHMARK).is_file() else None
    for number, line in enumerate(_lines(path), 2):
        where = f"{path}, line {number}"
        values = _as_ours(line)
        if not (name := values.get("row", "")) or "top1" not in values:
            raise UserError(f"{where}: no row and top1\nthe columns are row, seed, top1, or timm's model, top1, top5")
        if costs is not None:
            values |= {key: cell for key, cell in costs.of(values, where).items() if not values.get(key)}
        run = stated_run(values, where)
        runs = found.setdefault(name, [])
        if run.seed in {one.seed for one in runs}:
            twice = f"has seed {run.seed} twice" if values.get("seed") else "stands there twice without a seed"
            raise UserError(f"{where}: {name} {twice}\neach run stands once, with a seed of its own")
        runs.append(run)
    for name, runs in found.items():
        if 0 < max(run.top1 for run in runs) <= 1:
            raise UserError(
                f"{path}: {name} has no top1 above {max(run.top1 for run in runs):g} percent\n"
                "if that is a share of 1, give percent: 92.3, not 0.923"
            )
    return found


def _as_ours(line: Mapping[str, Any]) -> dict[str, str]:
    """A line's cells by our columns: timm says `model` and counts parameters in millions."""
    values = {str(key).strip(): "" if value is None else str(value).strip() for key, value in line.items() if key}
    if "row" not in values and "model" in values:
        values["row"] = folder_name(values["model"])
    for theirs, own, unit in (("param_count", "params", MILLION), ("infer_gmacs", "macs", BILLION)):
        if own not in values and (count := values.get(theirs)):
            count = count.replace(",", "") if THOUSANDS.fullmatch(count) else count
            values[own] = str(float(count) * unit) if _is_number(count) else count
    return values


@dataclass(frozen=True)
class Benchmark:
    """timm's benchmark CSV: a network, by its name without the weights' tag, at one image size or several (px)."""

    path: Path
    by_size: Mapping[str, Mapping[str, Mapping[str, str]]]

    @classmethod
    def read(cls, path: Path) -> Benchmark:
        """Raises UserError for another file."""
        lines = [_as_ours(line) for line in _lines(path)]
        if not lines or not all("model" in line and ("infer_gmacs" in line or "param_count" in line) for line in lines):
            raise UserError(
                f"{path} is no benchmark of timm's: the columns are model, infer_gmacs, param_count\nremove it"
            )
        found: dict[str, dict[str, dict[str, str]]] = {}
        for line in lines:
            known = {key: line[key] for key in ("params", "macs") if line.get(key)}
            found.setdefault(line["row"], {})[line.get("infer_img_size", "")] = known
        return cls(path, found)

    def of(self, values: Mapping[str, str], where: str) -> Mapping[str, str]:
        """What a line's network costs at the size that it states. Raises UserError where it states none of several."""
        row = values["row"]
        sizes = self.by_size.get(row) or self.by_size.get(row.partition(".")[0]) or {}
        size = values.get("img_size", "")
        if not size and len(sizes) > 1:
            raise UserError(
                f"{where}: {self.path} has {row} at {', '.join(sizes)} px\nsay in a column img_size which of them it is"
            )
        return sizes.get(size) or sizes.get("") or ({} if size else next(iter(sizes.values()), {}))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a CSV or Parquet file as cells by column. Raises UserError where it is neither."""
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:
                return list(file.read().to_pylist())
        except (OSError, pa.ArrowInvalid) as error:
            raise UserError(f"{path} cannot be read as Parquet: {error}\ngive a CSV instead") from None
    try:
        text = path.read_text(encoding="utf-8-sig")
        return list(csv.DictReader(io.StringIO(text), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as CSV: {error}\nsave it as CSV in UTF-8") from None


def _predictions(source: Path) -> dict[str, list[tuple[Path, Predictions]]]:
    """By row the predictions of its runs, in the order of their files' names."""
    folders = sorted(path for path in (source / PREDICTIONS).glob("*") if path.is_dir())
    found = {}
    for folder in folders:
        files = sorted(path for path in folder.iterdir() if path.suffix in (".parquet", ".csv"))
        if not files:
            raise UserError(f"{folder} holds no .parquet and no .csv\nput a file a run there, or remove the folder")
        found[folder.name] = [(path, _read(path)) for path in files]
    return found


def _read(path: Path) -> Predictions:
    if path.suffix == ".parquet":
        return read_predictions(path)
    lines = _lines(path)
    found = [key for key in (lines[0] if lines else ()) if re.fullmatch(r"p\d+", str(key))]
    columns = [f"p{number}" for number in range(len(found))]
    if not columns or not {"index", "label", *columns} <= set(lines[0]):
        raise UserError(
            f"{path} holds no predictions: the columns are index, label, p0, p1, ... (a probability a class)\n"
            "the class alone says nothing of calibration; give scores.csv where there are no probabilities"
        )
    try:
        cells = np.array([[float(line[key]) for key in ("index", "label", *columns)] for line in lines])
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} cannot be read as predictions: {error}\nevery cell is a number") from None
    return Predictions(cells[:, 0].astype(np.int64), cells[:, 1].astype(np.int64), cells[:, 2:].astype(np.float32))
