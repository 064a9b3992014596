"""`levelfield study rm`: what a study's folder no longer needs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from levelfield.cli.options import Yes
from levelfield.cli.output import console
from levelfield.cli.study.from_options import OpenedStudy, on_a_study
from levelfield.cli.study.options import Rows
from levelfield.errors import UserError
from levelfield.units import size


class Removing(StrEnum):
    """What `study rm` removes."""

    STALE = "stale"
    CHECKPOINTS = "checkpoints"
    ROWS = "rows"


@on_a_study
def remove(
    opened: OpenedStudy,
    what: Annotated[
        Removing, typer.Option(help="stale: runs that no row asks for; checkpoints: of finished runs; rows: see --row.")
    ] = Removing.STALE,
    row: Rows = None,
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
    study, folder, asked, _ = opened
    chosen = removals(folder, asked.rows(study, folder), what.value, row or ())
    for removal in chosen:
        console.print(f"{removal.path}  {size(removal.mib)}  ({removal.why})", markup=False, highlight=False)
    if not chosen:
        console.print(f"nothing to remove in {folder}", highlight=False)
        return
    if not yes and not typer.confirm(f"Remove {len(chosen)} folders?", default=False, err=True):
        raise typer.Exit(0)
    console.print(f"{size(remove_folders(folder, chosen))} freed", highlight=False)
