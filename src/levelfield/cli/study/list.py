"""`levelfield study list`: the studies that ship with levelfield."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from levelfield.cli.options import Json
from levelfield.cli.output import console, print_json

if TYPE_CHECKING:
    from levelfield.studies.declared.study import StudySpec


def list_(json: Json = False) -> None:
    """List the studies that ship with levelfield.

    Example: `levelfield study list`
    """
    from levelfield.studies.declared.study import StudySpec
    from levelfield.studies.declared.study_file import list_studies

    studies = [StudySpec.load(name) for name in list_studies()]
    if json:
        facts = [
            {"name": s.name, "title": s.title, "question": s.question.strip(), "scales": _scales(s)} for s in studies
        ]
        print_json(facts)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("study", "scales", "what it compares"):
        table.add_column(heading, no_wrap=heading == "study")
    for study in studies:
        table.add_row(study.name, ", ".join(_scales(study)), escape(study.title))
    console.print(table)


def _scales(study: StudySpec) -> list[str]:
    """The names of a study's scales, the published one first."""
    return list(dict.fromkeys(["full", *study.scales]))
