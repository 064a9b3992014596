"""Where rows are taught by trained networks: whether by the same one, and what that had seen."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from levelfield.runs import RunFolder
from levelfield.spec import Distil, RunSpec, covers
from levelfield.spec.weights_taken import rows_taken_from
from levelfield.tables.audit.compare_values import words
from levelfield.tables.audit.findings import AuditRow, Finding, Panel, Severity, differing
from levelfield.tables.lists_in_words import listed

KEY: Final = "recipe.distil"
SEEN: Final = ("checksum", "validation", "split_seed", "train_limit")
"""Keys of the data that say on which of their images a run was trained."""


def teachers(panel: Panel) -> Iterable[Finding]:
    """Different teachers, runs of a row with neither one teacher nor each its own, and one teacher for all of them."""
    taught = [row for row in panel.measured if row.spec is not None and _distil(row.spec) is not None]
    severity: Severity = "declared" if covers(panel.varies, KEY) else "unfair"
    yield from differing("teachers", severity, "Who teaches differs", _who(taught))
    shared = []
    for row in taught:
        known = [distil.teacher_digest for run in row.own if (distil := _distil(run.spec)) is not None]
        if 1 < len(set(known)) < len(known):
            text = f"The runs of {row.name} have neither one teacher nor each its own."
            yield Finding("teachers", "unfair", text, (row.name,))
        shared += [row.name] if len(known) > 1 and len(set(known)) == 1 else []
    if shared:
        text = f"All runs of {listed(shared)} have one teacher: their spread over seeds leaves out that of teachers."
        yield Finding("teachers", "differs", text, tuple(shared))


def taught_on(panel: Panel) -> Iterable[Finding]:
    """Teachers that were trained on other images than those whom they teach."""
    for row in panel.measured:
        if row.spec is None or (distil := _distil(row.spec)) is None:
            continue
        if (teacher := _teacher(distil, panel.folder)) is None:
            text = f"On which images the teacher of {row.name} was trained: its run is not at hand."
            yield Finding("taught_on", "unchecked", text, (row.name,))
        elif other := [key for key in SEEN if getattr(teacher.data, key) != getattr(row.spec.data, key)]:
            keys = listed([f"data.{key}" for key in other])
            text = f"The teacher of {row.name} was trained on other images than {row.name} itself ({keys} differ)"
            held = row.spec.data.validation and "checksum" not in other
            seen = "; it may have seen images that are held out for validation here" if held else ""
            yield Finding("taught_on", "differs", f"{text}{seen}.", (row.name,))


def _who(taught: Iterable[AuditRow]) -> dict[str, str]:
    """By row who teaches it: the row whose runs do, seed by seed, or a run by its identity."""
    said = {}
    for row in taught:
        assert row.spec is not None
        distil = _distil(row.spec)
        assert distil is not None
        of = rows_taken_from(row.spec).get(f"{KEY}.teacher")
        one = f"the run {words(distil.teacher_identity)}, weights {words(distil.teacher_digest)}"
        said[row.name] = f"the runs of {of}" if of else one
    return said


def _teacher(distil: Distil, folder: Path | None) -> RunSpec | None:
    """The setting of the teacher's run; None where that run is not at hand: another one may lie in its place."""
    path = Path(distil.teacher).expanduser()
    places = [path] + ([folder / Path(*path.parts[-2:])] if folder is not None else [])
    runs = (run for place in places if (run := RunFolder(place)).exists())
    return next((run.spec() for run in runs if run.identity == distil.teacher_identity), None)


def _distil(spec: RunSpec) -> Distil | None:
    return spec.recipe.distil
