"""`levelfield study merge`, `pick` and `rm`: what to do with a study's results. Parse, call, print."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from levelfield.cli.output import DataDir, Json, Yes, console, print_json
from levelfield.cli.study_options import Name, Out, PluginsAsRun, Rows, ScaleName, SetAsRun, as_asked
from levelfield.errors import UserError


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
    from levelfield.studies.results.merge import add_predictions, merge_folders

    merged = merge_folders(folders, into, compact=compact)
    console.print(
        f"{into}: {merged.copied} runs copied, {merged.kept} there already, {merged.replaced} brought further",
        highlight=False,
    )
    if (predictions is None) != (as_ is None):
        raise UserError("--predictions FILE and --as ROW belong together; give both")
    if predictions is not None and as_ is not None:
        console.print(f"{as_}: {add_predictions(into, as_, predictions)}", highlight=False)


def pick_(
    name: Name,
    scale: ScaleName = None,
    out: Out = None,
    row: Rows = None,
    max_macs: Annotated[str | None, typer.Option(help="Multiply-accumulates of an image: 100M, 1.5G.")] = None,
    max_params: Annotated[str | None, typer.Option(help="Parameters: 500k, 5M.")] = None,
    max_latency_ms: Annotated[float | None, typer.Option(help="Milliseconds of a batch, as profiled.")] = None,
    max_memory_mib: Annotated[float | None, typer.Option(help="Peak memory of inference in MiB, as profiled.")] = None,
    json: Json = False,
) -> None:
    """Name the best row of a study for a budget, and the rows that cannot be told apart from it.

    Example: `levelfield study pick quickstart --max-macs 100M --max-latency-ms 50`
    """
    from levelfield.studies.results.outputs import table_for
    from levelfield.studies.results.pick import parse_quantity, pick

    limits: dict[str, float] = {}
    if max_macs is not None:
        limits["macs"] = parse_quantity(max_macs, "--max-macs")
    if max_params is not None:
        limits["params"] = parse_quantity(max_params, "--max-params")
    if max_latency_ms is not None:
        limits["ms_per_batch"] = max_latency_ms
    if max_memory_mib is not None:
        limits["mem_peak_mib"] = max_memory_mib
    study, folder, asked = as_asked(name, scale, out, None, None, None)
    chosen = pick(table_for(study, folder, asked), limits, row or ("*",))
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


def rm(
    name: Name,
    what: Annotated[
        Removing, typer.Option(help="stale: runs that no row asks for; checkpoints: of finished runs; rows: see --row.")
    ] = Removing.STALE,
    row: Rows = None,
    scale: ScaleName = None,
    set_: SetAsRun = None,
    out: Out = None,
    data_dir: DataDir = None,
    plugin: PluginsAsRun = None,
    yes: Yes = False,
) -> None:
    """Remove runs that the study no longer asks for, checkpoints of finished runs, or the runs of rows.

    What the study asks for is judged by the changes and plugins that the folder was run with.
    Example: `levelfield study rm quickstart --what checkpoints`
    """
    from levelfield.studies.results.prune import removals, remove

    if (what is Removing.ROWS) != bool(row):
        raise UserError("--what rows and --row PATTERN belong together; give both")
    study, folder, asked = as_asked(name, scale, out, set_, plugin, data_dir)
    chosen = removals(folder, asked.rows(study, folder), what.value, row or ())
    for removal in chosen:
        console.print(f"{removal.path}  {removal.mib:.1f} MiB  ({removal.why})", markup=False, highlight=False)
    if not chosen:
        console.print(f"nothing to remove in {folder}", highlight=False)
        return
    if not yes and not typer.confirm(f"Remove {len(chosen)} folders?", default=False, err=True):
        raise typer.Exit(0)
    console.print(f"{remove(folder, chosen):.1f} MiB freed", highlight=False)
