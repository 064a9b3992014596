"""study.json: who the rows of a study's folder are, how they were asked for, and why runs of them failed.

It is what `levelfield report FOLDER` reads, without the study file; `tables.read_folder` has its format. It is written
when a study begins and after every run, so that a table can be asked for at any time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from levelfield.errors import UserError
from levelfield.runs import write_json
from levelfield.spec import RunSpec
from levelfield.studies.declared.planned_runs import PlannedRow
from levelfield.studies.results.study_request import StudyRequest
from levelfield.tables.rows import Row, StudyRows


def as_json(rows: StudyRows, asked: StudyRequest, out: Path) -> dict[str, Any]:
    """The content of study.json. Run folders are relative to `out`; of the execution only what is science is kept."""
    return {
        "name": rows.name,
        "asked": asked.as_json(),
        "question": rows.question,
        "steps": [list(step) for step in rows.steps],
        "factors": {part: {name: list(held) for name, held in each.items()} for part, each in rows.factors.items()},
        "curves": {name: list(held) for name, held in rows.curves.items()},
        "extrapolate": rows.extrapolate,
        "description": rows.description,
        "scale": rows.scale,
        "baseline": rows.baseline,
        "varies": None if rows.varies is None else list(rows.varies),
        "command": rows.command,
        "notes": list(rows.notes),
        "rows": rows_as_json(rows.rows, out),
    }


def rows_as_json(rows: Iterable[Row], out: Path) -> list[dict[str, Any]]:
    """Rows as study.json holds them."""
    return [
        {
            "name": row.name,
            "label": row.label,
            "group": row.group,
            "notes": list(row.notes),
            "runs": [run.path.relative_to(out).as_posix() for run in row.runs],
            "predictions": [path.relative_to(out).as_posix() for path in row.predictions],
            "facts": dict(row.facts),
            "failures": {str(seed): why for seed, why in row.failures.items()},
            "declared": [_declared(spec) for spec in row.declared],
            "published": None if row.published is None else asdict(row.published),
        }
        for row in rows
    ]


def _declared(spec: RunSpec) -> dict[str, Any]:
    micro = spec.execution.micro_batch
    kept = {} if micro is None else {"execution": {"micro_batch": micro}}
    return spec.model_dump(mode="json", exclude={"execution"}) | kept


def write_study(rows: StudyRows, asked: StudyRequest, out: Path) -> None:
    """Write study.json into `out`."""
    write_json(out / "study.json", as_json(rows, asked, out))


def read_failures(out: Path, rows: Iterable[PlannedRow] | None = None) -> dict[str, str]:
    """`PlannedRun.key` -> why it has no result, as the study's last run left it.

    Left out is what failed with a setting that its row no longer has among `rows`: study.json keeps that of the
    failure. None: nothing is left out.
    """
    try:
        kept = json.loads((out / "study.json").read_text(encoding="utf-8"))["rows"]
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return {}
    asked = {row.name: row.spec.science() for row in rows or ()}
    return {
        f"{row['name']} seed {seed}": str(why)
        for row in kept
        if rows is None or (row["name"] in asked and _science(row.get("declared")) == asked[row["name"]])
        for seed, why in (row.get("failures") or {}).items()
    }


def _science(declared: Any) -> dict[str, Any] | None:
    """That of the one setting that study.json declares for a row; None where it holds none that can be read."""
    if not isinstance(declared, list) or len(declared) != 1:
        return None
    try:
        return RunSpec.parse(declared[0], "study.json").science()
    except UserError:
        return None


def read_study_json(folder: Path) -> dict[str, Any]:
    """study.json of a folder. Raises UserError where there is none or it is damaged."""
    path = folder / "study.json"
    try:
        study: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder} holds no study (no study.json)\ngive a folder of `levelfield study run`") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path} cannot be read: {error}\nlevelfield study report writes a new one") from None
    return study
