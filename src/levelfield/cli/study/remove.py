"""`levelfield study rm`: what a study's folder no longer needs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from levelfield.cli.options import DataDir, Yes
from levelfield.cli.output import console
from levelfield.cli.study.from_options import as_asked
from levelfield.cli.study.options import Name, Out, PluginsAsRun, Rows, ScaleName, SetAsRun
from levelfield.errors import UserError


class Removing(StrEnum):
    """What `study rm` removes."""

    STALE = "stale"
    CHECKPOINTS = "checkpoints"
    ROWS = "rows"


def remove(
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
    from levelfield.studies.results.prune import removals
    from levelfield.studies.results.prune import remove as remove_folders

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
    console.print(f"{remove_folders(folder, chosen):.1f} MiB freed", highlight=False)
