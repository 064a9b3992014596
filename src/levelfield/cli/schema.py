"""`levelfield schema`: the JSON Schema of the files that a user writes."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from levelfield.schemas import schema_text


class File(StrEnum):
    """The files that have a schema."""

    STUDY = "study"
    RECIPE = "recipe"
    RUN = "run"


def schema(file: Annotated[File, typer.Argument(help="Which file's: study, recipe or run.", metavar="FILE")]) -> None:
    """Print the JSON Schema of a file, by which editors complete and check it.

    Example: `levelfield schema study > study.schema.json`, and as the first line of the study's file
    `# yaml-language-server: $schema=study.schema.json`
    """
    typer.echo(schema_text(file.value), nl=False)
