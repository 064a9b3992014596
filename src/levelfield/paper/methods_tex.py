"""The methods paragraph: every setting of data, network and recipe that is used and is not at its default."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from levelfield.paper.ledger import PROVIDE, Ledger
from levelfield.spec import RunSpec
from levelfield.spec.identity import differing
from levelfield.spec.used_keys import used
from levelfield.tables.lists_in_words import counted, listed
from levelfield.tables.runs_of_row import Trained
from levelfield.tables.table import StudyTable, TableRow
from levelfield.tables.text.latex_words import latex_with_breaks as latex

GROUPS: Final = {
    "data": "Data", "model": "Network", "recipe.optimizer": "Optimiser", "recipe.schedule": "Schedule",
    "recipe.phases": "Phases", "recipe.batch_size": "Batch", "recipe.augment": "Augmentation", "recipe.mix": "Mixing",
    "recipe.regularisation": "Regularisation", "recipe.freeze": "Freezing", "recipe.averaging": "Averaging",
    "recipe.distil": "Distillation",
    "budget": "Length", "recipe": "Further", "micro_batch": "Execution", "processes": "Execution",
}  # fmt: skip
"""Where keys of a run begin, and what stands before them; the longest that fits counts."""

OFFICIAL: Final[Mapping[Any, str]] = {
    True: "the official content", False: "other content than the set of that name",
    None: "no official checksum is on record",
}  # fmt: skip


def settings_of(spec: RunSpec) -> dict[str, Any]:
    """Every used key of a run that is not at its default, and every key of its data and of what a recipe does not do by
    default (distillation, pruning, int8), by dotted path.

    Not the seed, the name of the network, prose, and how the run was carried out.
    """
    whole = used(spec)
    values: dict[str, Any] = differing(whole)
    values["data"] = whole.data.model_dump(mode="json", exclude_none=True, exclude={"name", "checksum"})
    values["recipe"].pop("validation", None)  # it is data.validation now
    for key, field in type(whole.recipe).model_fields.items():
        if field.default is None and (done := getattr(whole.recipe, key)) is not None:
            values["recipe"][key] = done.model_dump(mode="json", exclude_none=True)
    values["model"].pop("name")
    if values["model"].pop("start_from", None) is not None:
        values["model"].pop("channels", None)  # they follow from those weights and from what is pruned
    for key in ("teacher", "teacher_identity", "teacher_digest"):
        (values["recipe"].get("distil") or {}).pop(key, None)
    for key in ("seed", "execution", "plugins"):
        values.pop(key, None)
    return flat_with_lists(values)


def flat_with_lists(value: Any, path: str = "") -> dict[str, Any]:
    """Nested mappings, also those inside of lists, as one level of dotted keys."""
    inside: Mapping[str, Any] = {}
    if isinstance(value, Mapping):
        inside = {str(key): part for key, part in value.items()}
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        inside = {str(place): item for place, item in enumerate(value)}
    if not inside:
        return {path: value}
    found: dict[str, Any] = {}
    for key, part in inside.items():
        found |= flat_with_lists(part, f"{path}.{key}" if path else key)
    return found


def methods_tex(table: StudyTable, ledger: Ledger) -> str:
    """Paragraphs on data, rows and training; what differs between rows is said of each."""
    rows = [row for row in table.rows if row.runs.spec is not None]
    if not rows:
        return f"{PROVIDE}\n{ledger.study_comment()}\nNo run of levelfield is among the rows.\n"
    settings = {row.name: settings_of(spec) for row in rows if (spec := row.runs.spec) is not None}
    keys = list(dict.fromkeys(key for each in settings.values() for key in each))
    shared = [key for key in keys if len({_words(each.get(key)) for each in settings.values()}) == 1]
    lines = [PROVIDE, ledger.study_comment(), r"\paragraph{Data.}", *_data(rows, ledger)]
    lines += [r"\paragraph{Rows.}", *_rows(rows, ledger), r"\paragraph{Training.}", *_recipes(rows)]
    for heading in dict.fromkeys(GROUPS.values()):
        here = [key for key in shared if _group(key) == heading]
        if here:
            one = settings[rows[0].name]
            said = ", ".join(f"{_called(key)} {ledger.of(_words(one[key]), key, rows, one[key])}" for key in here)
            lines.append(rf"\emph{{{heading}}}: {said}.")
    lines.append("Every key of a run that is not named here is at its default.")
    differ = [key for key in keys if key not in shared]
    if differ:
        lines.append(r"\paragraph{What differs between rows.}")
        lines.append("A row that is not named at a key has it at its default, or has no such key.")
        lines += [_differing(key, rows, settings, ledger) for key in differ]
    return "\n".join(lines) + "\n"


def _data(rows: list[TableRow], ledger: Ledger) -> list[str]:
    said: dict[str, tuple[str, list[TableRow]]] = {}
    for row in rows:
        for run in row.runs.finished:
            if not isinstance(run, Trained):
                continue
            described = run.folder.description()
            tested = sum(int(line["support"]) for line in run.result.get("classes") or ())
            facts = [
                run.spec.data.name,
                counted(len(described.get("classes") or run.result.get("classes") or ()), "class", "classes"),
                counted(tested, "test image"),
                f"content {str(run.spec.data.checksum)[:16]} (SHA-256)",
                OFFICIAL[(described.get("data") or {}).get("official")],
            ]
            text = "; ".join(facts)
            said.setdefault(text, (text, []))[1].append(row)
    return [
        ledger.of(text, "the data, by content", list({row.name: row for row in of}.values())) + "."
        for text, of in said.values()
    ] or ["No row has a finished run."]


def _rows(rows: list[TableRow], ledger: Ledger) -> list[str]:
    lines = []
    for row in rows:
        spec = row.runs.spec
        assert spec is not None
        seeds = ", ".join(str(run.seed) for run in row.runs.finished)
        start = spec.model.start_from
        began = "" if start is None else ", from weights of content " + ledger.of(
            str(start.digest)[:16], "SHA-256 of the weights that it starts from", [row]
        )  # fmt: skip
        distil = spec.recipe.distil
        taught = "" if distil is None else ", taught by the run " + ledger.of(
            str(distil.teacher_identity)[:16], "identity of the run that teaches it", [row]
        )  # fmt: skip
        trained = f"seeds {ledger.of(seeds, 'seeds', [row])}" if seeds else "no finished run"
        lines += [
            ledger.row_comment(row),
            rf"{latex(row.title)}: \texttt{{{latex(spec.model.name)}}}{began}{taught}, {trained};",
        ]
    lines[-1] = lines[-1].removesuffix(";") + "."
    return lines


def _recipes(rows: list[TableRow]) -> list[str]:
    names = list(dict.fromkeys(spec.recipe.name for row in rows if (spec := row.runs.spec) is not None))
    said = ", ".join(r"\texttt{" + latex(name) + "}" for name in names if name)
    return [f"Recipe: {said}."] if said else []


def _differing(key: str, rows: list[TableRow], settings: Mapping[str, Mapping[str, Any]], ledger: Ledger) -> str:
    """A key and its values, each with the rows that have it."""
    of: dict[str, list[TableRow]] = {}
    for row in rows:
        if key in settings[row.name]:
            of.setdefault(_words(settings[row.name][key]), []).append(row)
    said = "; ".join(
        f"{ledger.of(value, key, having)} ({latex(listed([row.title for row in having], len(having)))})"
        for value, having in of.items()
    )
    return rf"\emph{{{_group(key)}}}, {_called(key)}: {said}."


def _group(key: str) -> str:
    begin = max((each for each in GROUPS if key == each or key.startswith(each + ".")), key=len, default="recipe")
    return GROUPS[begin]


def _called(key: str) -> str:
    begin = max((each for each in GROUPS if key == each or key.startswith(each + ".")), key=len, default="")
    rest = key.removeprefix(begin).lstrip(".") or key.rpartition(".")[2]
    return latex(rest.replace("_", " ").replace(".", " "))


def _words(value: Any) -> str:
    if value is None:
        return "default"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(item, (str, int, float)) for item in value):
        return ", ".join(map(str, value)) or "none"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, Mapping)) else str(value)
