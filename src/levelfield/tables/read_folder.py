"""Read the rows of a table out of a folder: a study's (with study.json), or any folder that holds runs.

study.json, as whoever carries out a study writes it:

```
{"name": ..., "question": ..., "steps": [[name, row before, row after], ...],
 "description": ..., "scale": ..., "baseline": row name or null,
 "varies": [keys of a run, see `levelfield.spec.varied_keys`] or null, "command": ..., "notes": [...],
 "rows": [{"name": ..., "label": ..., "group": ..., "notes": [...],
           "runs": [run folders, relative to study.json],
           "declared": [RunSpec as JSON, ...],
           "predictions": [Parquet files, relative to study.json], "facts": {...}, "failures": {seed: reason},
           "published": {"values": {"top1": 79.72, ...}, "data": ..., "num_classes": ..., "notes": [...]} or null}]}
```
All keys but `name` may be absent; "asked" is for who goes on with the study (`studies.results.study_request`).
What a sweep found lies beside it in sweep.json, what looks at it decided in looks.json. Without study.json, runs that
differ in nothing but the seed are a row.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from levelfield.errors import UserError
from levelfield.runs import RunFolder, find_runs
from levelfield.spec import RunSpec
from levelfield.spec.overrides import trained_otherwise
from levelfield.spec.weights_taken import with_rows_named
from levelfield.statistics import MARGIN
from levelfield.studies.declared.published_figures import Published
from levelfield.tables.looks import read_looks
from levelfield.tables.rows import Row, StudyRows
from levelfield.tables.sweeps import read_sweeps
from levelfield.tables.verdict_rule import checked_margin, checked_rule


def read_study(folder: Path) -> StudyRows:
    """The rows of `folder`. Raises UserError where it holds neither study.json nor a run."""
    path = folder / "study.json"
    if path.is_file():
        try:
            return _from_json(json.loads(path.read_text(encoding="utf-8")), folder)
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise UserError(f"{path} cannot be read: {error!r}\nrun the study again: it writes a new one") from None
    runs = find_runs(folder)
    if not runs:
        raise UserError(
            f"no runs in {folder}: neither study.json nor any run.json below it\n"
            "give a folder that levelfield train or levelfield study run wrote"
        )
    return StudyRows(name=folder.resolve().name, rows=tuple(_rows_of(runs)), path=folder)


def _from_json(study: dict[str, Any], folder: Path) -> StudyRows:
    rows = []
    asked = study.get("asked") or {}
    seeds = asked.get("seeds") or {}
    for row in study["rows"]:
        published = row.get("published")
        runs = (RunFolder(folder / relative) for relative in row.get("runs", ()))
        rows.append(
            Row(
                name=row["name"],
                label=row.get("label") or "",
                group=row.get("group") or "",
                runs=tuple(run for run in runs if run.exists()),
                declared=tuple(RunSpec.parse(spec, f"study.json: {row['name']}") for spec in row.get("declared", ())),
                planned=tuple(seeds.get(row["name"]) or asked.get("usual") or ()) if row.get("declared") else (),
                published=None
                if not published
                else Published(
                    values={key: value for key, value in published["values"].items() if value is not None},
                    data=published.get("data"),
                    num_classes=published.get("num_classes"),
                    notes=tuple(published.get("notes") or ()),
                ),
                predictions=tuple(folder / relative for relative in row.get("predictions", ())),
                facts=dict(row.get("facts") or {}),
                failures={int(seed): why for seed, why in (row.get("failures") or {}).items()},
                notes=tuple(row.get("notes") or ()),
            )
        )
    return StudyRows(
        name=study["name"],
        rows=tuple(rows),
        question=study.get("question") or "",
        steps=tuple((str(name), str(before), str(after)) for name, before, after in study.get("steps") or ()),
        factors={
            part: {position: tuple(rows) for position, rows in positions.items()}
            for part, positions in (study.get("factors") or {}).items()
        },
        curves={name: tuple(rows) for name, rows in (study.get("curves") or {}).items()},
        extrapolate=study.get("extrapolate"),
        sweeps=read_sweeps(folder),
        looks=read_looks(folder),
        description=study.get("description") or "",
        scale=study.get("scale") or "",
        baseline=study.get("baseline"),
        varies=None if study.get("varies") is None else tuple(study["varies"]),
        changes=trained_otherwise(asked.get("set") or ()),
        margin=checked_margin(asked.get("margin", MARGIN)),
        verdict=checked_rule(asked.get("verdict", "usual")),
        notes=tuple(study.get("notes") or ()),
        command=study.get("command") or "",
        source=asked.get("source") or "",
        plugins=tuple(asked.get("plugins") or ()),
        path=folder,
    )


def _setting(spec: RunSpec) -> str:
    """What the runs of a row have in common. Where each takes weights of the run of its seed of another row, that is
    the row, not the weights, which are another seed's each."""
    return json.dumps(with_rows_named(spec).science() | {"seed": 0}, sort_keys=True)


def _rows_of(runs: list[RunFolder]) -> list[Row]:
    """Runs that differ in nothing but the seed together, named by model, and by recipe and data where those differ."""
    groups: dict[str, list[tuple[RunFolder, RunSpec]]] = defaultdict(list)
    for run in runs:
        spec = run.spec()
        groups[_setting(spec)].append((run, spec))
    specs = [members[0][1] for members in groups.values()]
    several = {
        "recipe": len({spec.recipe.name for spec in specs}) > 1,
        "data": len({spec.data.name for spec in specs}) > 1,
    }
    rows, taken = [], set()
    for members in groups.values():
        spec = members[0][1]
        name = spec.model.name
        name += f" / {spec.recipe.name}" if several["recipe"] else ""
        name += f" / {spec.data.name}" if several["data"] else ""
        count = 2
        unique = name
        while unique in taken:
            unique, count = f"{name} ({count})", count + 1
        taken.add(unique)
        members.sort(key=lambda member: member[1].seed)
        rows.append(Row(name=unique, runs=tuple(run for run, _ in members)))
    return rows
