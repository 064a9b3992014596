"""Scores that somebody else states of runs of theirs, a line a run, as a study's folder keeps them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.runs import write_text

SCORES: Final = "scores.csv"
"""In the folder of a row of somebody else's: its runs without predictions."""


@dataclass(frozen=True)
class StatedRun:
    """A run as its author states it. `seed`: theirs, in words. `top1`, `top5`: percent. `data`: the test set by the
    name that the study has for it, `images`: how many it has; None where they are not stated."""

    seed: str
    top1: float
    top5: float | None = None
    params: float | None = None
    macs: float | None = None
    data: str | None = None
    images: int | None = None

    def result(self) -> dict[str, Any]:
        """As a run's result says it; what is not stated is not there."""
        stated = {key: value for key, value in asdict(self).items() if value is not None and key != "seed"}
        return {"status": "finished", **stated}


def stated_run(values: Mapping[str, str], where: str) -> StatedRun:
    """A run from a line's cells. Raises UserError for a score that is none."""
    scores = {key: _number(values.get(key), key, where, 100.0) for key in ("top1", "top5")}
    sizes = {key: _number(values.get(key), key, where, math.inf) for key in ("params", "macs", "images")}
    if (top1 := scores["top1"]) is None:
        raise UserError(f"{where}: top1 is empty\ngive every run's top-1 in percent, or leave the line out")
    if (top5 := scores["top5"]) is not None and top5 < top1:
        raise UserError(f"{where}: top5 {top5:g} is below top1 {top1:g}\nboth are percent of the same test images")
    images = None if sizes["images"] is None else int(sizes["images"])
    data = values.get("data") or None
    seed = (values.get("seed") or "0").removesuffix(".0")  # a column of whole numbers with gaps is one of floats
    return StatedRun(seed, top1, top5, sizes["params"], sizes["macs"], data, images)


def _number(text: str | None, key: str, where: str, most: float) -> float | None:
    if text is None or text.strip() in ("", "None", "nan"):
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= most or math.isinf(value):
        wanted = "percent from 0 to 100" if most == 100 else "a number, zero or more"
        raise UserError(f"{where}: {key} {text!r} is not {wanted}\nmend it in the file")
    return value


def read_stated(path: Path) -> list[StatedRun]:
    """The runs of a row's `scores.csv`. Raises UserError for a damaged file."""
    try:
        lines = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {error}\nadd the results again") from None
    return [stated_run(line, f"{path}, line {number}") for number, line in enumerate(lines, 2)]


def write_stated(path: Path, runs: Iterable[StatedRun]) -> None:
    """Write a row's `scores.csv`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(StatedRun.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(run) for run in runs)
    write_text(path, text.getvalue())
