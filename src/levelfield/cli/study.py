"""`levelfield study`: comparisons from a file. Parse, call, print; the work is in `levelfield.studies`."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from levelfield.cli.confirm import confirm_long_work
from levelfield.cli.output import DataDir, Json, Plugins, Yes, console, messages, print_json
from levelfield.cli.study_options import (
    Address,
    CpusPerRun,
    GpusPerRun,
    Name,
    On,
    Out,
    Rows,
    ScaleName,
    Seeds,
    Set,
    Where,
    executor_for,
    timed_estimate,
)
from levelfield.cli.study_sweep import sweep
from levelfield.errors import UserError

if TYPE_CHECKING:
    from levelfield.studies.estimate import Estimate
    from levelfield.studies.found import Found
    from levelfield.studies.plan import PlannedRow

app = typer.Typer(no_args_is_help=True, help="Compare models over seeds: plan, run, look, merge, pick.")
app.command()(sweep)


@app.command("list")
def list_(json: Json = False) -> None:
    """List the studies that ship with levelfield.

    Example: `levelfield study list`
    """
    from levelfield.studies.study import Study, list_studies

    studies = [Study.load(name) for name in list_studies()]
    if json:
        facts = [
            {"name": s.name, "title": s.title, "question": s.question.strip(), "scales": scales(s)} for s in studies
        ]
        print_json(facts)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("study", "scales", "what it compares"):
        table.add_column(heading, no_wrap=heading == "study")
    for study in studies:
        table.add_row(study.name, ", ".join(scales(study)), escape(study.title))
    console.print(table)


def scales(study: Any) -> list[str]:
    """The names of a study's scales, the published one first."""
    return list(dict.fromkeys(["full", *study.scales]))


@app.command()
def plan(
    name: Name,
    scale: ScaleName = "full",
    seeds: Seeds = None,
    row: Rows = None,
    set_: Set = None,
    out: Out = None,
    data_dir: DataDir = None,
    plugin: Plugins = None,
    probe: Annotated[bool, typer.Option(help="Time a few steps of each row to say how long it takes.")] = True,
    json: Json = False,
) -> None:
    """Show a study's runs, what is done, and the time left.

    Example: `levelfield study plan cifar10-cpu --data-dir ../shared/data`
    """
    found = _find(name, scale, seeds, row, set_, out, data_dir, plugin)
    timed = timed_estimate(found) if probe else None
    if json:
        print_json(_plan_json(found, timed))
        return
    _print_plan(found, timed)
    states = Counter(one.state for one in found)
    line = f"{len(found)} runs: " + ", ".join(f"{count} {state}" for state, count in states.items())
    if timed is not None:
        from levelfield.progress import duration

        line += f"; about {duration(timed.left_s)} left on this machine"
    console.print(line, highlight=False)


@app.command()
def run(
    name: Name,
    scale: ScaleName = "full",
    seeds: Seeds = None,
    row: Rows = None,
    set_: Set = None,
    out: Out = None,
    on: On = Where.LOCAL,
    parallel: Annotated[int, typer.Option(min=1, help="Runs at once, each in a process of its own.")] = 1,
    address: Address = None,
    cpus_per_run: CpusPerRun = None,
    gpus_per_run: GpusPerRun = None,
    data_dir: DataDir = None,
    plugin: Plugins = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Train what is missing, then print the table and write report.html. Interrupted, the same command goes on.

    Ends with code 3 where a run failed; its row says why. Example: `levelfield study run quickstart`
    """
    from levelfield.progress import Progress
    from levelfield.studies.estimate import measured_seconds
    from levelfield.studies.found import default_folder
    from levelfield.studies.run import run_study
    from levelfield.studies.study import Study, parse_seeds

    study = Study.load(name)
    folder = out or default_folder(study.name, scale)
    found = _find(name, scale, seeds, row, set_, folder, data_dir, plugin)
    with executor_for(on, parallel, address, cpus_per_run, gpus_per_run) as executor:
        expected_s = measured_seconds(found)
        if on is Where.LOCAL:
            expected_s = _expect(found, f"study {study.name}", yes)
        with Progress() as progress:
            table = run_study(
                study,
                folder,
                scale=scale,
                seeds=None if seeds is None else parse_seeds(seeds),
                progress=progress,
                executor=executor,
                parallel=parallel,
                only=row or (),
                expected_s=expected_s,
                overrides=set_ or (),
                plugins=plugin or (),
                data_dir=data_dir,
            )
    _show(table, folder, json)
    if study.name == "quickstart" and not json:
        _print_next(folder)
    if any(one.state == "failed" for one in _find(name, scale, seeds, row, set_, folder, data_dir, plugin)):
        raise typer.Exit(3)


def _expect(found: list[Found], what: str, yes: bool) -> dict[str, float]:
    """Seconds that a run of each row will take on this machine; asks before long work."""
    timed = timed_estimate(found)
    if timed.impossible and not timed.per_run_s and not any(one.state == "finished" for one in found):
        raise UserError(next(iter(timed.impossible.values())))
    for home, why in timed.impossible.items():
        messages.print(f"{home} cannot be run here: {why}", markup=False, highlight=False)
    confirm_long_work(timed.left_s, what, yes)
    return timed.per_run_s


def _print_next(folder: Path) -> None:
    console.print("\nThree things to try next:")
    for command in (
        "levelfield study run cifar10-cpu --data-dir DATA   # real colour images: 4 networks, 3 seeds, half an hour",
        "levelfield train --model resnet_mini --data digits --set budget.epochs=5 --out runs/first",
        "levelfield study run quickstart --seeds 6          # only the new seeds are trained",
    ):
        console.print("  " + command, markup=False, highlight=False, soft_wrap=True)
    console.print(f"The page: {folder / 'report.html'}", highlight=False)


@app.command()
def status(
    name: Name,
    scale: ScaleName = "full",
    seeds: Seeds = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Show how far each row has come, without timing anything.

    Example: `levelfield study status quickstart`
    """
    found = _find(name, scale, seeds, None, None, out, None, None)
    if json:
        print_json(_plan_json(found, None))
        return
    _print_plan(found, None)


@app.command()
def report(
    name: Name,
    scale: ScaleName = "full",
    out: Out = None,
    json: Json = False,
) -> None:
    """Print a study's table, every row in it, `not run` where nothing was measured; write it where runs are.

    Example: `levelfield study report outgrid-cifar100`
    """
    from levelfield.studies.found import default_folder
    from levelfield.studies.output import report_study
    from levelfield.studies.study import Study

    study = Study.load(name)
    folder = out or default_folder(study.name, scale)
    _show(report_study(study, scale, folder), folder, json)


def _show(table: Any, folder: Path, json: bool) -> None:
    from levelfield.report import render

    if json:
        print_json(render.to_json(table))
        return
    console.print(render.to_rich(table))
    if (folder / "report.html").is_file():
        console.print(f"page: {folder / 'report.html'}", highlight=False)


def _find(
    name: str,
    scale: str,
    seeds: str | None,
    rows: list[str] | None,
    set_: list[str] | None,
    out: Path | None,
    data_dir: str | None,
    plugins: list[str] | None,
) -> list[Found]:
    from levelfield.studies.found import default_folder, find_all, read_tuned
    from levelfield.studies.study import Study, parse_seeds

    study = Study.load(name)
    folder = out or default_folder(study.name, scale)
    runs = study.plan(
        scale,
        None if seeds is None else parse_seeds(seeds),
        tuned=read_tuned(folder),
        only=rows or (),
        overrides=set_ or (),
        plugins=plugins or (),
        data_dir=data_dir,
    )
    return find_all(folder, runs)


def _plan_json(found: list[Found], timed: Estimate | None) -> dict[str, Any]:
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
    return {"runs": runs, "seconds_left": None if timed is None else timed.left_s}


def _print_plan(found: list[Found], timed: Estimate | None) -> None:
    """A line for each row; what all rows share, and what went wrong, stands below the table."""
    from levelfield.progress import duration

    rows = list({one.run.row.name: one.run.row for one in found}.values())
    facts = {row.name: _facts(row) for row in rows}
    shared = {key: value for key, value in facts[rows[0].name].items() if all(f[key] == value for f in facts.values())}
    varying = [key for key in facts[rows[0].name] if key not in shared]
    table = Table(box=None, pad_edge=False)
    for heading in ("row", *varying, "done", *(("per run",) if timed else ())):
        table.add_column(heading, justify="right" if heading in ("done", "per run") else "left", overflow="fold")
    notes = []
    for row in rows:
        of_row = [one for one in found if one.run.row.name == row.name]
        done = sum(one.state == "finished" for one in of_row)
        cells = [row.name, *(facts[row.name][key] for key in varying), f"{done}/{len(of_row)}"]
        if timed:
            seconds = timed.per_run_s.get(row.home)
            cells.append("?" if seconds is None else duration(seconds))
        table.add_row(*(escape(cell) for cell in cells))
        notes += [f"{one.run.name} {one.state}: {one.why}" for one in of_row if one.why]
        notes += [f"{row.name} has the runs of {row.home}: the same training"] if row.home != row.name else []
        notes += [f"{row.name}: {timed.impossible[row.home]}"] if timed and row.home in timed.impossible else []
    console.print(table)
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


@app.command()
def merge(
    folders: Annotated[list[Path], typer.Argument(help="Study folders, each with a study.json.", metavar="DIR...")],
    into: Annotated[Path, typer.Option(help="The folder that takes them all; it may hold results already.")],
    predictions: Annotated[
        Path | None, typer.Option(help="Somebody else's predictions.parquet, to stand as a row (with --as).")
    ] = None,
    as_: Annotated[str | None, typer.Option("--as", help="The name of that row.")] = None,
    compact: Annotated[
        bool, typer.Option("--compact", help="Only finished runs, without weights and checkpoints: for a repository.")
    ] = False,
) -> None:
    """Join the results of several people or machines; `levelfield report INTO` then shows them in one table.

    Example: `levelfield study merge runs/quickstart theirs/quickstart --into runs/joined`
    """
    from levelfield.studies.merge import add_predictions, merge_folders

    merged = merge_folders(folders, into, compact=compact)
    console.print(
        f"{into}: {merged.copied} runs copied, {merged.kept} there already, {merged.replaced} brought further",
        highlight=False,
    )
    if (predictions is None) != (as_ is None):
        raise UserError("--predictions FILE and --as ROW belong together; give both")
    if predictions is not None and as_ is not None:
        console.print(f"{as_}: {add_predictions(into, as_, predictions)}", highlight=False)


@app.command("pick")
def pick_(
    name: Name,
    scale: ScaleName = "full",
    out: Out = None,
    row: Rows = None,
    max_macs: Annotated[str | None, typer.Option(help="Multiply-accumulates of an image: 100M, 1.5G.")] = None,
    max_params: Annotated[str | None, typer.Option(help="Parameters: 500k, 5M.")] = None,
    max_latency_ms: Annotated[float | None, typer.Option(help="Milliseconds of a batch, as the runs timed it.")] = None,
    max_memory_mib: Annotated[float | None, typer.Option(help="Peak memory in MiB.")] = None,
    json: Json = False,
) -> None:
    """Name the best row of a study for a budget, and the rows that cannot be told apart from it.

    Example: `levelfield study pick quickstart --max-macs 100M --max-latency-ms 50`
    """
    from levelfield.studies.found import default_folder
    from levelfield.studies.output import table_for
    from levelfield.studies.pick import parse_quantity, pick
    from levelfield.studies.study import Study

    limits: dict[str, float] = {}
    if max_macs is not None:
        limits["macs"] = parse_quantity(max_macs, "--max-macs")
    if max_params is not None:
        limits["params"] = parse_quantity(max_params, "--max-params")
    if max_latency_ms is not None:
        limits["ms_per_batch"] = max_latency_ms
    if max_memory_mib is not None:
        limits["mem_peak_mib"] = max_memory_mib
    study = Study.load(name)
    chosen = pick(table_for(study, scale, out or default_folder(study.name, scale)), limits, row or ("*",))
    best = chosen.best
    assert best.top1 is not None
    if json:
        facts = {"row": best.name, "top1": best.top1.value, **best.means}
        print_json({**facts, "ties": list(chosen.ties), "left_out": dict(chosen.left_out)})
        return
    console.print(f"[bold]{escape(best.name)}[/bold]: {best.top1.value:.2f} % top-1, {best.n} seeds", highlight=False)
    if chosen.ties:
        console.print("not distinguishable from it: " + ", ".join(chosen.ties), markup=False, highlight=False)
    for left, why in chosen.left_out.items():
        console.print(f"left out: {left} ({why})", markup=False, highlight=False)


class Removing(StrEnum):
    """What `study rm` removes."""

    STALE = "stale"
    CHECKPOINTS = "checkpoints"
    ROWS = "rows"


@app.command("rm")
def rm(
    name: Name,
    what: Annotated[
        Removing, typer.Option(help="stale: runs that no row asks for; checkpoints: of finished runs; rows: see --row.")
    ] = Removing.STALE,
    row: Rows = None,
    scale: ScaleName = "full",
    out: Out = None,
    yes: Yes = False,
) -> None:
    """Remove runs that the study no longer asks for, checkpoints of finished runs, or the runs of rows.

    Example: `levelfield study rm quickstart --what checkpoints`
    """
    from levelfield.studies.found import default_folder, read_tuned
    from levelfield.studies.prune import removals, remove
    from levelfield.studies.study import Study

    if (what is Removing.ROWS) != bool(row):
        raise UserError("--what rows and --row PATTERN belong together; give both")
    study = Study.load(name)
    folder = out or default_folder(study.name, scale)
    rows = study.planned_rows(scale, tuned=read_tuned(folder))
    chosen = removals(folder, rows, what.value, row or ())
    for removal in chosen:
        console.print(f"{removal.path}  {removal.mib:.1f} MiB  ({removal.why})", markup=False, highlight=False)
    if not chosen:
        console.print(f"nothing to remove in {folder}", highlight=False)
        return
    if not yes and not typer.confirm(f"Remove {len(chosen)} folders?", default=False, err=True):
        raise typer.Exit(0)
    console.print(f"{remove(folder, chosen):.1f} MiB freed", highlight=False)
