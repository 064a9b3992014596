"""A model card: Hugging Face's metadata and a page of Markdown, every figure in it from the results.

Metadata: https://huggingface.co/docs/hub/model-cards. What no result says (a licence, what a network is meant for) is
not made up: the card says where it is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import yaml

from levelfield.known_models import known_model
from levelfield.known_models.model_info import TIMM
from levelfield.runs import RunFolder
from levelfield.spec import RunSpec
from levelfield.spec.hub_source import HUB
from levelfield.statistics import Estimate
from levelfield.tables.lists_in_words import counted, listed
from levelfield.tables.reproduce import setups, without_data_place
from levelfield.tables.runs_of_row import Trained
from levelfield.tables.table import StudyTable, TableRow
from levelfield.tables.text.footnotes import footnotes
from levelfield.tables.text.markdown import pipe_table
from levelfield.units import duration, short

METRICS: Final = {
    "top1": ("accuracy", "top-1, %"),
    "top5": ("accuracy", "top-5, %"),
    "f1_macro": ("f1", "F1, mean over classes"),
}
"""Of a row's means: Hugging Face's name of the metric, and what the card calls it."""


@dataclass(frozen=True)
class Shared:
    """The repository of the Hub that a card lies in, why timm cannot load the network from it (empty: it can), and the
    names of its other `files`."""

    repo: str
    timm_why_not: str
    files: frozenset[str] = frozenset()


def to_card(table: StudyTable, licence: str | None = None, shared: Shared | None = None) -> str:
    """The card of a study, or of a folder with one run or several. `licence`: as Hugging Face names it (`mit`).
    `shared`: where the one run of the folder is pushed to."""
    rows = [row for row in table.ranked if row.top1 is not None]
    head = yaml.safe_dump(_metadata(table, rows, licence, shared), sort_keys=False, allow_unicode=True, width=100)
    parts = [f"---\n{head}---", f"# {_title(table, rows)}", *_purpose(table)]
    parts += ["## Results", *_audit(table), "\n".join(pipe_table(table)), "\n".join(footnotes(table))]
    parts += ["## Data", *_data(rows), "## Training", *_training(rows), "## Use", *_use(rows, shared)]
    parts += ["## Environment", *_environment(rows), "## How to repeat it", *_commands(table, shared)]
    parts += ["## Limits", *_limits(table, rows, licence)]
    return "\n\n".join(parts) + "\n"


def _title(table: StudyTable, rows: list[TableRow]) -> str:
    """The study's name; of a folder with one row alone, its network and data."""
    spec = rows[0].runs.spec if len(rows) == 1 else None
    return table.study.name if spec is None else f"{spec.model.name} on {spec.data.name}"


def _metadata(table: StudyTable, rows: list[TableRow], licence: str | None, shared: Shared | None) -> dict[str, Any]:
    data = list(dict.fromkeys(spec.data.name for row in rows for spec in row.runs.specs[:1]))
    facts: dict[str, Any] = {} if licence is None else {"license": licence}
    return facts | {
        "library_name": "levelfield",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "levelfield", *(["timm"] if shared and not shared.timm_why_not else [])],
        "datasets": data,
        "metrics": ["accuracy", "f1"],
        "model-index": [{"name": _called(row), "results": [_result(row)]} for row in rows],
    }


def _result(row: TableRow) -> dict[str, Any]:
    spec = row.runs.spec
    name = row.panel if spec is None else spec.data.name
    means = {**row.means, **({} if row.top1 is None else {"top1": row.top1.value})}
    metrics = [
        {"type": kind, "name": f"{called}, mean of {counted(row.n, 'seed')}", "value": round(means[key], 4)}
        for key, (kind, called) in METRICS.items()
        if key in means
    ]
    task = {"type": "image-classification", "name": "Image classification"}
    return {"task": task, "dataset": {"name": name, "type": name, "split": "test"}, "metrics": metrics}


def _purpose(table: StudyTable) -> list[str]:
    said = [table.study.question, table.study.answer, table.study.description]
    return [part.strip() for part in said if part.strip()]


def _runs(rows: Iterable[TableRow]) -> list[tuple[TableRow, Trained]]:
    return [(row, run) for row in rows for run in row.runs.finished if isinstance(run, Trained)]


def _audit(table: StudyTable) -> list[str]:
    """The audit, and each of its findings but what it found fair: who reads a card has no page that names them."""
    said = [finding.text for kind in ("unfair", "declared", "differs") for finding in table.audit.of(kind)]
    said += [f"Not checked: {finding.text}" for finding in table.audit.of("unchecked")]
    return [f"**Fairness audit.** {table.audit.verdict}", *(["\n".join(f"- {one}" for one in said)] if said else [])]


def _data(rows: list[TableRow]) -> list[str]:
    said: dict[str, list[str]] = {}
    for row, run in _runs(rows):
        described = run.folder.description()
        facts = [
            f"`{run.spec.data.name}` at {run.spec.data.image_size or run.spec.model.image_size} px",
            f"{len(described['classes']):,} classes",
            f"checksum `{str(run.spec.data.checksum)[:16]}`",
            {True: "the official content", False: "other content than the set of that name"}.get(
                described["data"].get("official"), "content of which no official checksum is on record"
            ),
            *described["data"].get("notes", []),
        ]
        said.setdefault("- " + "; ".join(facts), []).append(row.title)
    return ["\n".join(said)] if said else ["No run of levelfield's is among them: the data are as their makers say."]


def _training(rows: list[TableRow]) -> list[str]:
    headings = "row", "network", "parameters", "MACs", "recipe", "length", "precision", "seeds", "training, each"
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for row in rows:
        runs = [run for _, run in _runs([row])]
        if not runs:
            continue
        spec, result = runs[0].spec, runs[0].result
        seconds = [run.result["train_seconds"] for run in runs if run.result.get("train_seconds") is not None]
        ((what, value),) = [each for each in spec.budget.model_dump().items() if each[1] is not None]
        trained = (
            f"{duration(sum(seconds) / len(seconds))} on {_machine(runs[0].folder)}" if seconds else "not on record"
        )
        cells = [
            row.title,
            f"`{spec.model.name}`",
            f"{result['params']:,}",
            short(result["macs"]),
            f"`{spec.recipe.name}`",
            f"{value:g} {what.removesuffix('s') if value == 1 else what}",
            str(result.get("precision", spec.recipe.precision)),
            ", ".join(str(run.seed) for run in runs),
            trained,
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return [
        "\n".join(lines),
        *_beside_recipe(rows),
        "Every key of every run stands in its `run.json`; the commands below repeat all of it.",
    ]


def _beside_recipe(rows: list[TableRow]) -> list[str]:
    """What made rows that the name of a recipe does not tell: weights to start from, a teacher, pruning, int8."""
    said: dict[str, None] = {}
    for row, run in _runs(rows):
        start, distil = run.spec.model.start_from, run.spec.recipe.distil
        facts = []
        if start is not None:
            place = f" of `{start.source}`" if start.source.startswith((TIMM, HUB)) else ""
            facts.append(f"starts from trained weights{place}, content `{str(start.digest)[:16]}`")
        if distil is not None:
            soft = f"at temperature {distil.temperature:g}, " if distil.form == "soft" else ""
            who = f"run `{str(distil.teacher_identity)[:16]}`"
            facts.append(f"is taught by the {who} ({distil.form}, {soft}weight {distil.weight:g} of the loss)")
        if (zeros := run.result.get("pruned_params")) is not None:
            facts.append(f"is pruned: {zeros:,} of its {run.result['params']:,} parameters are zero")
        if (channels := run.spec.model.channels) is not None:
            facts.append(f"has fewer channels than its network in {counted(len(channels), 'layer')}" + _cut(run.spec))
        if (layers := run.result.get("quantized_layers")) is not None:
            facts.append(f"is trained to compute in int8: {layers} layers round weights and inputs, in its test too")
        if facts:
            said[f"- {row.title}, seed {run.seed}: {'; '.join(facts)}."] = None
    return ["\n".join(said)] if said else []


def _cut(spec: RunSpec) -> str:
    """What was asked for of the channels that a run itself took out, in words."""
    if (cut := spec.recipe.prune_channels) is None:
        return ""
    of = "multiply-accumulates" if cut.of == "macs" else "parameters"
    return f", by which at least {100 * cut.share:g} % of the {of} it starts from are gone"


def _machine(folder: RunFolder) -> str:
    found = folder.environment()
    if gpu := found.get("gpu"):
        return str(gpu)
    where = found.get("processor") or "a processor that is not on record"
    return f"{where}, {counted(found['threads'], 'thread')}" if "threads" in found else str(where)


def _use(rows: list[TableRow], shared: Shared | None) -> list[str]:
    runs = _runs(rows)
    if not runs:
        return ["No run folder with weights is among them."]
    said = [
        f"```python\n{_CODE.format(source='RUN_FOLDER' if shared is None else f'hub:{shared.repo}')}```",
        "`predict` decodes, resizes and normalises an image as the run's test images were; another loader may give "
        "another accuracy.",
    ]
    if shared is None:
        return said
    said.append(f"Training goes on from these weights by `--set model.start_from.source=hub:{shared.repo}`.")
    if shared.timm_why_not:
        return [*said, f"timm cannot rebuild this network: {shared.timm_why_not}. `config.json` is not in timm's form."]
    said.append(f"timm loads it too, with the same logits:\n\n```python\n{_TIMM.format(repo=shared.repo)}```")
    return said + [why for fit, why in _FITS_IN_TIMM.items() if fit == runs[0][1].spec.data.fit]


_FITS_IN_TIMM: Final = {
    "crop": "Its transform may cut an image half a pixel beside where this run's did.",
    "pad": "Its transform enlarges images that are smaller than the network's input, which this run only padded.",
}
"""Where timm prepares images otherwise than a run did, by the run's `data.fit`."""
_CODE: Final = """\
import levelfield as lf

run = lf.load_run("{source}")  # weights, classes and preprocessing
found = run.predict(["image.png"])
print(found.top(5)[0])
"""
_TIMM: Final = """\
import timm

network = timm.create_model("hf-hub:{repo}", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
"""


def _environment(rows: list[TableRow]) -> list[str]:
    said: dict[str, None] = {}
    for _, run in _runs(rows):
        found = run.folder.environment()
        packages = found.get("packages", {})
        names = [name for name in ("levelfield", "torch", "timm", "numpy") if name in packages]
        facts = (
            _machine(run.folder),
            found.get("os", "system unknown"),
            f"Python {found.get('python', 'unknown')}",
            ", ".join(f"{name} {packages[name]}" for name in names),
            f"commit `{str(found.get('git_commit') or 'unknown')[:12]}`",
        )
        said["- " + "; ".join(fact for fact in facts if fact)] = None
    return ["\n".join(said)] if said else ["Not on record."]


def _commands(table: StudyTable, shared: Shared | None) -> list[str]:
    parts = []
    if table.study.command:
        parts.append(f"```\n{without_data_place(table.study.command)}\n```")
    where = "from the folder's page" if shared is None else "which lies beside this card"
    for name, each in setups(table, shared.files if shared else ()).items():
        for setup in each:
            if setup.commands:
                lines = without_data_place("\n".join(setup.commands))
                parts.append(f"`{name}`, with `{setup.file}`{',' if shared else ''} {where}:\n\n```\n{lines}\n```")
            parts += [f"({note})" for note in setup.notes]
    return parts or ["No command is on record."]


def _limits(table: StudyTable, rows: list[TableRow], licence: str | None) -> list[str]:
    said = []
    few = [row.title for row in rows if row.n < 3]
    if few:
        said.append(f"{listed(few)}: fewer than three seeds; what another seed would give is not known.")
    if table.study.scale not in ("", "full"):
        said.append(f"Run at the reduced scale {table.study.scale}: not the study as published.")
    sample = [row for row in rows if row.sample is not None]
    if sample:
        widest = max((_width(row.sample) for row in sample if row.sample is not None), default=0.0)
        said.append(
            f"The test set is a sample: on other images of its kind a mean may lie up to {widest / 2:.2f} points away "
            "(95 % interval)."
        )
    for row in rows:
        spec = row.runs.spec
        note = None if spec is None or (known := known_model(spec.model.name)) is None else known.published.get("note")
        if note:
            said.append(f"{row.title}: {note}")
    if licence is None:
        said.append("No licence was stated for the weights; the data have terms of their own.")
    said.append("Accuracy on this test set says nothing of other cameras, places or groups of people.")
    return ["\n".join(f"- {line}" for line in said)]


def _width(estimate: Estimate) -> float:
    return 0.0 if estimate.low is None or estimate.high is None else estimate.high - estimate.low


def _called(row: TableRow) -> str:
    """A row's name; of somebody else's with the mark that it was not trained here."""
    return row.title if row.runs.row.predictions else row.name
