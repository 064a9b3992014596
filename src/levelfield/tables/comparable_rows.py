"""Which rows may be compared: those that were tested on the same images are a panel.

Rows of our own say on which data they were tested. Somebody else's predictions say it by their index and labels, which
must be those of a row of our own; where they are none of them, the row says so and is not compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from levelfield.data.sources.catalog import entry
from levelfield.errors import UserError
from levelfield.runs import Predictions
from levelfield.tables.foreign_scores import StatedRun
from levelfield.tables.runs_of_row import RowRuns

SUM_TOLERANCE = 0.02
"""How far probabilities of an image may be from a sum of one: they are kept to three decimals."""


def placed(rows: Sequence[RowRuns]) -> tuple[list[RowRuns], dict[str, str]]:
    """`rows`, with a reason in place of predictions that are of no test set here; and the panel of each row, by name.

    Where no row of our own has predictions, somebody else's are held against the first of theirs.
    """
    panels = panels_of(rows)
    if not any(row.row.predictions for row in rows):
        return list(rows), panels
    known = references(rows)
    result = []
    for row in rows:
        if row.row.predictions:
            why = ""
            for run in row.finished:
                predictions = run.predictions()
                if predictions is None:
                    panel, reason = match_stated(run.result, _images_of(rows, panels))
                else:
                    panel, reason = match(predictions, known or {"": predictions})
                    known = known or {"": predictions}
                panels[row.row.name], why = panel, why or reason
            row = _left_out(row, why) if why else row
        result.append(row)
    return result, panels


def panels_of(rows: Sequence[RowRuns]) -> dict[str, str]:
    """By row the test set in words; rows without any spec join the first panel (""). A limit that is no fewer than the
    images there are cuts nothing and is not named."""
    tested: dict[tuple[str, int | None], int] = {}
    for row in rows:
        if row.spec is not None and row.finished and (images := _tested(row)):
            tested.setdefault((row.spec.data.name, row.spec.data.test_limit), images)
    found = {}
    for row in rows:
        name, limit = (row.spec.data.name, row.spec.data.test_limit) if row.spec is not None else ("", None)
        known = entry(name) if limit else None
        whole = known is not None and known.test is not None and known.test <= (limit or 0)
        whole = whole or tested.get((name, limit), limit or 0) < (limit or 0)
        found[row.row.name] = name + (f" ({limit:,} test images)" if limit and not whole else "")
    return found


def _tested(row: RowRuns) -> int:
    """Test images of a row's first run, by the supports of its classes; 0 where it does not say."""
    return sum(int(line["support"]) for line in row.finished[0].result.get("classes") or ())


def references(rows: Sequence[RowRuns]) -> dict[str, Predictions]:
    """Of each panel the predictions of one run of our own."""
    found: dict[str, Predictions] = {}
    panels = panels_of(rows)
    for row in rows:
        panel = panels[row.row.name]
        for run in row.finished:
            if run.folder is not None and panel not in found and (own := run.predictions()) is not None:
                found[panel] = own
    return found


def match(predictions: Predictions, known: Mapping[str, Predictions]) -> tuple[str, str]:
    """The panel whose test images and labels `predictions` are of; "" and why where there is none."""
    if fault := damage(predictions):
        return "", fault
    faults = {panel: _differs(predictions, reference) for panel, reference in known.items()}
    for panel, why in faults.items():
        if not why:
            return panel, ""
    return "", "; ".join(f"not of {panel or 'the other predictions'}: {why}" for panel, why in faults.items())


def _images_of(rows: Sequence[RowRuns], panels: Mapping[str, str]) -> dict[str, int]:
    """By panel of our own rows how many test images it has; 0 where no run says."""
    found: dict[str, int] = {}
    for row in rows:
        if row.finished and not row.row.predictions:
            found[panels[row.row.name]] = found.get(panels[row.row.name]) or _tested(row)
    return found


def match_stated(result: Mapping[str, Any], images: Mapping[str, int]) -> tuple[str, str]:
    """The panel that a stated score is of; "" and why where there is none. `images`: test images by panel.

    By the data set that it names, or the only one that there is; a number of test images must be the panel's.
    """
    data, count = result.get("data"), result.get("images")
    if data is None and len(images) != 1:
        return "", f"it names none of {len(images)} test sets: {', '.join(images) or 'no run here is finished'}"
    panel = next(iter(images)) if data is None else str(data)
    if panel not in images:
        return "", f"it is of {panel}, and the rows here were tested on {', '.join(images) or 'nothing yet'}"
    if count is not None and images[panel] and count != images[panel]:
        return "", f"it was tested on {count:,} images, and {panel} has {images[panel]:,} here"
    return panel, ""


def check_stated(runs: Iterable[StatedRun], rows: Sequence[RowRuns], where: str) -> None:
    """Raise UserError unless the stated scores, of one row, can stand beside `rows`."""
    images, panels = _images_of(rows, panels_of(rows)), []
    for run in runs:
        panel, why = match_stated(run.result(), images)
        panels.append(panel)
        if why:
            raise UserError(
                f"{where} cannot stand beside these rows: {why}\n"
                "name the test set in the column data, and in images how many it has"
            )
    _check_one_panel(panels, where)


def damage(predictions: Predictions) -> str:
    """Why these cannot be predictions of a test set; empty where they can."""
    index, label, p = predictions.index, predictions.label, predictions.probabilities
    if not len(index) or len(index) != len(label) or len(index) != len(p):
        return "it does not hold an index, a label and probabilities for every image"
    if len(np.unique(index)) != len(index):
        return "it holds an index twice"
    if not np.isfinite(p).all() or p.min() < 0 or np.abs(p.sum(1) - 1).max() > SUM_TOLERANCE * p.shape[1] ** 0.5:
        return "its probabilities are not between 0 and 1 with a sum of 1"
    if label.min() < 0 or label.max() >= p.shape[1]:
        return f"it has labels outside its {p.shape[1]} classes"
    return ""


def _differs(one: Predictions, two: Predictions) -> str:
    if one.probabilities.shape[1] != two.probabilities.shape[1]:
        return f"it has {one.probabilities.shape[1]} classes, not {two.probabilities.shape[1]}"
    if len(one.index) != len(two.index):
        return f"it has {len(one.index):,} images, not {len(two.index):,}"
    first, second = np.argsort(one.index), np.argsort(two.index)
    if not np.array_equal(one.index[first], two.index[second]):
        return "its index is another"
    wrong = int((one.label[first] != two.label[second]).sum())
    return f"the labels of {wrong:,} images are others" if wrong else ""


def _left_out(row: RowRuns, why: str) -> RowRuns:
    """`row` without runs, saying why they do not count."""
    failures = {run.seed: f"not compared: {why}" for run in row.finished}
    return replace(row, row=replace(row.row, failures=failures), finished=())


def _check_one_panel(panels: Sequence[str], where: str) -> None:
    """Raise UserError where the runs of one row are of several test sets, whose mean would be of none."""
    if len(several := list(dict.fromkeys(panels))) > 1:
        raise UserError(
            f"{where} has runs on {' and on '.join(several)}\na row is of one test set: name a row for each"
        )


def check_together(files: Mapping[str, Predictions], rows: Sequence[RowRuns], name: str) -> None:
    """Raise UserError unless the predictions in `files`, by where they lie, can stand beside `rows` as runs of one row,
    `name`: each by itself, none twice, all of one test set."""
    known, seen = references(rows), dict[bytes, str]()
    for where, each in files.items():
        check(each, rows, f"{where} ({name})")
        first = seen.setdefault(each.probabilities[np.argsort(each.index)].tobytes(), where)
        if first != where:
            raise UserError(f"{first} and {where} hold the same predictions\neach run stands once; remove one of them")
    _check_one_panel([match(each, known)[0] for each in files.values()], name)


def check(file_predictions: Predictions, rows: Sequence[RowRuns], where: str) -> None:
    """Raise UserError unless the predictions can stand beside `rows`."""
    known = references(rows)
    if not known:
        raise UserError(f"{where} cannot be held against anything: no run here is finished\nadd it when one is")
    _, why = match(file_predictions, known)
    if why:
        raise UserError(f"{where} cannot stand beside these rows: {why}\ngive index and label as their own files do")
