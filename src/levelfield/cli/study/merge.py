"""`levelfield study merge`: the results of several people or machines in one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from levelfield.cli.output import console
from levelfield.errors import UserError


def merge(
    folders: Annotated[list[Path], typer.Argument(help="Study folders, each with a study.json.", metavar="DIR...")],
    into: Annotated[Path, typer.Option(help="The folder that takes them all; it may hold results already.")],
    predictions: Annotated[
        Path | None, typer.Option(help="Somebody else's predictions.parquet, to stand as a row (with --as).")
    ] = None,
    as_: Annotated[str | None, typer.Option("--as", help="The name of that row.")] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="Somebody else's results, a folder or a CSV of scores, to stand as rows of their own."),
    ] = None,
    compact: Annotated[
        bool, typer.Option("--compact", help="Only finished runs, without weights and checkpoints: for a repository.")
    ] = False,
) -> None:
    """Join the results of several people or machines; `levelfield report INTO` then shows them in one table.

    Example: `levelfield study merge runs/quickstart theirs/quickstart --into runs/joined`
    """
    if (predictions is None) != (as_ is None):
        raise UserError("--predictions FILE and --as ROW belong together; give both")

    from levelfield.studies.results.merge import add_predictions, merge_folders
    from levelfield.studies.results.others_results import add_results

    merged = merge_folders(folders, into, compact=compact)
    console.print(
        f"{into}: {merged.copied} runs copied, {merged.kept} there already, {merged.replaced} brought further",
        highlight=False,
    )
    if merged.unlike:
        keys = ", ".join(merged.unlike)
        console.print(f"The folders differ in what their study says ({keys}): {into} says what the first of them does.")
    if predictions is not None and as_ is not None:
        console.print(f"{as_}: {add_predictions(into, as_, predictions)}", highlight=False)
    if results is not None:
        console.print(f"not trained here: {', '.join(add_results(into, results))}", highlight=False, soft_wrap=True)
