"""`levelfield study list`: the studies that ship with levelfield."""

from __future__ import annotations

from typing import TYPE_CHECKING

from levelfield.cli.options import Json
from levelfield.cli.output import print_json, show_table

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
        print_json("study list", {"studies": facts})
        return
    rows = [(study.name, ", ".join(_scales(study)), study.title) for study in studies]
    show_table(("study", "scales", "what it compares"), rows)


def _scales(study: StudySpec) -> list[str]:
    """The names of a study's scales, the published one first."""
    return list(dict.fromkeys(["full", *study.scales]))
