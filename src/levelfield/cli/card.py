"""`levelfield card`: the model card of a run or a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from levelfield.cli.output import messages
from levelfield.cli.what_was_meant import folder_meant


def card(
    folder: Annotated[Path, typer.Argument(help="A run's folder, a study's, or any that holds runs.", metavar="DIR")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write there instead of printing it.")] = None,
    licence: Annotated[
        str | None,
        typer.Option("--license", help="Licence of the weights, as Hugging Face names it (mit)."),
    ] = None,
) -> None:
    """Write a model card: Hugging Face's metadata, results, data, training, use, limits; every figure from the results.

    Example: `levelfield card runs/quickstart --out README.md`
    """
    from levelfield.runs import write_text
    from levelfield.tables import build_table, read_study
    from levelfield.tables.text.model_card import to_card

    text = to_card(build_table(read_study(folder_meant(folder))), licence)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_text(out, text)
        messages.print(f"written: {out}", soft_wrap=True, highlight=False)
