"""What energy a study's trainings took, run by run: measured where the run had a meter, else estimated if asked.

An estimate is a stated power times the seconds of training, and is named so. Rows are compared only by what a GPU's
meter measured: an estimate says no more than the seconds do, and a processor's meter counts the runs beside it, too.
Between GPUs of two models nothing is compared, as it would be the GPUs that are.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from levelfield.analysis.studied_rows import Studied, StudiedRow, differences, identity_of, made_of, whose
from levelfield.errors import UserError
from levelfield.statistics.measures import Measure
from levelfield.tables.cost_columns import profile_of, read_costs, trusted
from levelfield.tables.runs_of_row import Measured

MEASURES: Final = (
    Measure("kilojoules", "kJ of a training", False),
    Measure("joules_per_point", "J a point above chance", False),
)
"""What is compared, where a GPU's meter measured it: one family over both."""


def energy(found: Studied, watts: float | None = None) -> dict[str, Any]:
    """What energy.json holds: `rows` with every run's energy, `differences` to the baselines, `left_out`: the
    rows that were measured and are not compared, and why; `runs`.

    `watts`: what the machine draws while it trains, for runs without a meter. Raises UserError where no run has either.
    """
    rows: list[dict[str, Any]] = []
    values = {}
    left_out = {row.name: said for row in found.rows if (said := _apart(row, found))}
    for row in found.rows:
        runs = [_of_run(run, watts) for run in row.runs]
        values[row.name] = {run["seed"]: run if run["compared"] and row.name not in left_out else {} for run in runs}
        inference = _of_inference(found, row)
        named = {"row": row.name, "title": row.title, "panel": row.panel}
        rows.append({**named, "joules_per_1000": inference, "runs": runs})
    if all(run["kilojoules"] is None for row in rows for run in row["runs"]):
        raise UserError(
            f"no run in {found.folder} had an energy meter (NVML for a GPU, RAPL for a processor)\n"
            "estimate: --watts N, what the machine draws while it trains"
        )
    return {
        "baselines": dict(found.baselines),
        "watts": watts,
        "measures": [asdict(measure) for measure in MEASURES],
        "rows": rows,
        "left_out": left_out,
        "differences": differences(found, MEASURES, values),
        "runs": whose(found),
        "made_of": made_of(found),
    }


def _apart(row: StudiedRow, found: Studied) -> str:
    """Why a row that was trained on GPUs is not compared with its baseline; "" where it is."""
    name = found.baselines.get(row.panel)
    baseline = next((one for one in found.rows if one.name == name), row)
    own, other = (sorted({gpu for run in one.runs for gpu in _gpus(run)}) for one in (row, baseline))
    if not own or (own == other and len(own) == 1):
        return ""
    said = f"not compared: trained on {' and '.join(own)}"
    return said if own == other else f"{said}, {name} on {' and '.join(other) or 'no GPU'}"


def _gpus(run: Measured) -> list[str]:
    """The models of all GPUs that a run was trained on; none where it does not say."""
    now = {} if run.folder is None else run.folder.environment()
    return [str(one["gpu"]) for one in (now, *now.get("earlier", ())) if one.get("gpu")]


def _of_run(run: Measured, watts: float | None) -> dict[str, Any]:
    """The energy of a training, of 1,000 of its images, and of a point of top-1 above chance."""
    result = run.result
    joules, of = result.get("train_joules"), result.get("energy_of")
    if joules is None and watts is not None and result.get("train_seconds") is not None:
        joules = watts * (result["train_seconds"] + (result.get("compile_seconds") or 0.0))
    images, classes = result.get("samples_seen"), None if run.spec is None else run.spec.model.num_classes
    points = result["top1"] - 100 / classes if classes else 0.0
    return {
        "seed": run.seed,
        "identity": identity_of(run),
        "measured": of is not None,
        "compared": of is not None and result.get("device") == "cuda",
        "of": of or (f"estimated at {watts:g} W" if joules is not None else "no meter"),
        "kilojoules": None if joules is None else joules / 1e3,
        "joules_per_1000_seen": joules / images * 1e3 if joules is not None and images else None,
        "joules_per_point": joules / points if joules is not None and points > 0 else None,
    }


def _of_inference(found: Studied, row: StudiedRow) -> float | None:
    """Joules of 1,000 images, as `levelfield profile` measured them; None where it did not, or not at rest."""
    spec = next((run.spec for run in row.runs if run.spec is not None), None)
    profile = None if spec is None else profile_of(read_costs(found.folder), spec)
    joules = None if profile is None or not trusted(profile) else profile.get("joules_per_image")
    return None if joules is None else 1e3 * float(joules)
