"""`levelfield study plan`: a study's runs, what is done, the time left."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levelfield.cli.options import Json, Margin
from levelfield.cli.output import console, messages, print_json, show_table
from levelfield.cli.study.from_options import OpenedStudy, on_a_study
from levelfield.cli.study.not_tuned import not_tuned, what_to_do_first
from levelfield.cli.study.options import Parallel, Rows, Seeds
from levelfield.cli.study.runs_at_once import settle

if TYPE_CHECKING:
    from pathlib import Path

    from levelfield.studies.declared.planned_runs import PlannedRow
    from levelfield.studies.results.run_folders import Found, Stale
    from levelfield.studies.results.seeds_to_decide import ToDecide
    from levelfield.studies.running.time_estimate import Estimate


@on_a_study
def plan(
    opened: OpenedStudy,
    seeds: Seeds = None,
    row: Rows = None,
    parallel: Parallel = None,
    margin: Margin = None,
    probe: Annotated[bool, typer.Option(help="Time a few steps of each row to say how long it takes.")] = True,
    json: Json = False,
) -> None:
    """Show a study's runs, what is done, and the time left. Ctrl-C ends the timing, and the plan is shown without.

    Example: `levelfield study plan cifar10-cpu --data-dir ../shared/data`
    """
    found, stale = find_runs(opened, seeds, row)
    timed = _timed(found, parallel, opened.folder) if probe else None
    needed = _needed(opened, found, margin)
    per_run_s = _per_run(found, timed)
    rows_asked = [one.run.row for one in found]
    if json:
        planned = plan_json(found, stale, timed)
        to_decide = [_needed_json(one, per_run_s) for one in needed]
        print_json("study plan", {**planned, "not_tuned": not_tuned(opened.study, rows_asked), "to_decide": to_decide})
        return
    print_plan(found, stale, timed)
    if (first := what_to_do_first(opened.study, rows_asked, opened.asked, opened.folder)) is not None:
        console.print(first, markup=False, highlight=False)
    _print_needed(needed, per_run_s)
    states = Counter(one.state for one in found)
    line = f"{len(found)} runs: " + ", ".join(f"{count} {state}" for state, count in states.items())
    if timed is not None:
        from levelfield.units import duration

        line += f"; about {duration(timed.left_s)} left on this machine"
    console.print(line, highlight=False)


def _timed(found: list[Found], parallel: int | None, folder: Path) -> Estimate | None:
    """The time left; None where the user would not wait for it, and without torch."""
    try:
        return settle(parallel, found, folder).timed
    except KeyboardInterrupt:
        messages.print("timing stopped: the plan follows without times (--no-probe times nothing)", highlight=False)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        messages.print("no times: to time a few steps needs torch, which is not installed here", highlight=False)
    return None


def _needed(opened: OpenedStudy, found: list[Found], margin: float | None) -> list[ToDecide]:
    """What the comparisons of the rows that are shown need, to tell a gap of the table's margin too."""
    from levelfield.studies.results.seeds_to_decide import seeds_to_decide
    from levelfield.studies.results.study_request import judged
    from levelfield.studies.results.study_rows import study_rows

    study, folder, asked, _ = opened
    shown = {one.run.row.name for one in found}
    rows = study_rows(study, judged(asked, folder, margin), folder)
    return [one for one in seeds_to_decide(rows) if one.row in shown]


def _per_run(found: list[Found], timed: Estimate | None) -> dict[str, float]:
    """Seconds of a run by row: of its finished runs, else as timed."""
    from levelfield.studies.running.time_estimate import measured_seconds

    by_home = {**({} if timed is None else timed.per_run_s), **measured_seconds(found)}
    return {row.name: by_home[row.home] for row in (one.run.row for one in found) if row.home in by_home}


def _needed_json(one: ToDecide, per_run_s: dict[str, float]) -> dict[str, Any]:
    from levelfield.studies.results.seeds_to_decide import seconds_to_decide

    gaps = [
        {"points": gap, "seeds": seeds, "seconds": seconds_to_decide(one, seeds, per_run_s)}
        for gap, seeds in one.seeds.items()
    ]
    return {"row": one.row, "baseline": one.baseline, "gaps": gaps, "basis": one.basis}


def _print_needed(needed: list[ToDecide], per_run_s: dict[str, float]) -> None:
    """How many seeds would tell each row from its baseline, and what they cost."""
    from levelfield.studies.results.seeds_to_decide import seconds_to_decide
    from levelfield.units import duration

    if not needed:
        return
    several = len({one.baseline for one in needed}) > 1
    gaps = [f"{gap:g} point{'s' * (gap != 1)}" for gap in needed[0].seeds]
    headings = [heading for gap in gaps for heading in (gap, "takes")]
    rows = []
    for one in needed:
        cells = [f"{one.row} and {one.baseline}" if several else one.row]
        for seeds in one.seeds.values():
            seconds = seconds_to_decide(one, seeds, per_run_s)
            cells += [f"{seeds or '>1,000'} seeds", "?" if seconds is None else duration(seconds)]
        rows.append([*cells, one.basis])
    console.print()
    show_table(("to decide", *headings, "told from"), rows, numbers=headings)
    baseline = "the baseline" if several else needed[0].baseline
    foreseen = any(one.basis.startswith("prior") for one in needed)
    prior = " Prior: there are no runs yet that tell; foreseen from how much rows of other studies varied."
    console.print(
        f"Seeds of each row that tell so large a true difference from {baseline} with 80 % power, and what all runs "
        f"of the two take on this machine.{prior if foreseen else ''}",
        markup=False, highlight=False,
    )  # fmt: skip


def find_runs(
    opened: OpenedStudy, seeds: str | None, rows: list[str] | None
) -> tuple[list[Found], dict[str, list[Stale]]]:
    """The runs that are asked for, each with what its folder holds; and stale runs by row."""
    from levelfield.studies.declared.seeds import parse_seeds
    from levelfield.studies.results.run_folders import hold_all, with_failures
    from levelfield.studies.results.study_json import read_failures

    study, folder, asked, _ = opened
    runs = asked.runs(study, folder, None if seeds is None else parse_seeds(seeds), rows or ())
    held = hold_all(folder, [run.row for run in runs])
    stale = {run.row.name: list(held[run.row.home].stale) for run in runs}
    failures = read_failures(folder, {run.row.name: run.row for run in runs}.values())
    return with_failures((held[run.row.home].of(run) for run in runs), failures), stale


def plan_json(found: list[Found], stale: dict[str, list[Stale]], timed: Estimate | None) -> dict[str, Any]:
    runs = [
        {
            "row": one.run.row.name,
            "group": one.run.row.group,
            "seed": one.run.seed,
            "state": one.state,
            "why": one.why,
            "folder": None if one.folder is None else str(one.folder.path),
            "seconds": None if timed is None else timed.per_run_s.get(one.run.row.home),
        }
        for one in found
    ]
    old = [
        {"row": row, "seed": one.seed, "folder": str(one.folder.path), "why": one.why}
        for row, each in stale.items()
        for one in each
    ]
    return {"runs": runs, "stale": old, "seconds_left": None if timed is None else timed.left_s}


def print_plan(found: list[Found], stale: dict[str, list[Stale]], timed: Estimate | None) -> None:
    """A line for each row; what all rows share, and what went wrong, stands below the table."""
    from levelfield.studies.results.run_folders import stale_in_words
    from levelfield.units import duration

    rows = list({one.run.row.name: one.run.row for one in found}.values())
    facts = {row.name: _facts(row) for row in rows}
    shared = {key: value for key, value in facts[rows[0].name].items() if all(f[key] == value for f in facts.values())}
    varying = [key for key in facts[rows[0].name] if key not in shared]
    if all(facts[row.name]["model"] == row.name for row in rows):
        varying = [key for key in varying if key != "model"]  # which the rows are named by
    lines, notes = [], []
    for row in rows:
        of_row = [one for one in found if one.run.row.name == row.name]
        done = sum(one.state == "finished" for one in of_row)
        cells = [row.name, *(facts[row.name][key] for key in varying), f"{done}/{len(of_row)}"]
        if timed:
            seconds = timed.per_run_s.get(row.home)
            cells.append("?" if seconds is None else duration(seconds))
        lines.append(cells)
        notes += [f"{one.run.name} {one.state}: {one.why}" for one in of_row if one.why]
        notes += [f"{row.name}: {line}" for line in stale_in_words(stale[row.name])] if row.home == row.name else []
        notes += [f"{row.name} has the runs of {row.home}: the same training"] if row.home != row.name else []
        notes += [f"{row.name}: {timed.impossible[row.home]}"] if timed and row.home in timed.impossible else []
    show_table(("row", *varying, "done", *(("per run",) if timed else ())), lines, numbers=("done", "per run"))
    if shared:
        console.print("all rows: " + ", ".join(f"{key} {value}" for key, value in shared.items()), highlight=False)
    for note in notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def _facts(row: PlannedRow) -> dict[str, str]:
    budget = row.spec.budget.model_dump(exclude_none=True)
    return {
        "model": row.spec.model.name,
        "data": row.spec.data.name,
        "recipe": row.spec.recipe.name,
        "budget": ", ".join(f"{value:g} {unit}" for unit, value in budget.items()),
    }
