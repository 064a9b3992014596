"""How to cite the table."""

from __future__ import annotations

import hashlib
from importlib.metadata import version

from levelfield.page.markup import code, paragraph
from levelfield.page.section import Section
from levelfield.tables.lists_in_words import counted
from levelfield.tables.table import StudyTable

SHORT = 12
"""Digits of a digest or a commit, as they are quoted."""


def cite(table: StudyTable) -> Section | None:
    """An entry for BibTeX that names the study, the program and, by a digest, the very runs; None without a run."""
    runs = {run.folder.path: run.folder for row in table.rows for run in row.runs.finished if run.folder is not None}
    if not runs:
        return None
    identities = sorted(str(folder.description()["identity"]) for folder in runs.values())
    digest = hashlib.sha256("\n".join(identities).encode()).hexdigest()[:SHORT]
    found = {str(folder.environment().get("git_commit") or "")[:SHORT] for folder in runs.values()}
    commits = ", ".join(sorted(found - {""}))
    study = table.study
    name = study.name or "comparison"
    title = f"{name}: {study.question}" if study.question else name
    note = f"{counted(len(runs), 'run')}, digest {digest}" + (f"; scale {study.scale}" if study.scale else "")
    entry = [
        f"@misc{{levelfield-{name}-{digest},",
        f"  title        = {{{_plain(title)}}},",
        f"  howpublished = {{levelfield {version('levelfield')}" + (f", commit {commits}" if commits else "") + "},",
        f"  note         = {{{note}}}",
        "}",
    ]
    said = "The digest is over the identities of the runs: two tables of equal digest are of the same trainings."
    return Section("cite", "Cite", code("\n".join(entry)) + paragraph(said, class_="note"))


def _plain(words: str) -> str:
    """`words` as BibTeX takes them within braces."""
    return "".join({"{": "(", "}": ")", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#"}.get(c, c) for c in words)
