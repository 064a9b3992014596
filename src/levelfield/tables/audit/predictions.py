"""What the stored predictions prove: the scores, the test images, and that runs are runs of their own."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from levelfield.tables.audit.findings import AuditRow, Finding, Panel, counted, listed, odd_ones
from levelfield.tables.audit.prediction_summary import Tested
from levelfield.tables.row_results import Measured

EXACT: Final = 1e-6
"""How far a score of counted images may lie from the same score of the predictions: rounding of the division."""
LOSS: Final = 0.01
"""How far a loss may lie from that of stored probabilities, which cannot be smaller than float32 holds."""
BRIER: Final = 1e-4
ECE: Final = 0.01
"""In percent, beside what one image between two bins may move."""
STATED: Final = ("top1", "top3", "top5", "loss", "f1_macro", "f1_weighted", "ece", "brier", "classes")
"""Keys of result.json that follow from predictions."""
PER_CLASS: Final = ("precision", "recall", "f1", "support")
SAMPLES: Final = 16
"""Places at which two files of weights are compared before they are read whole."""
BLOCK: Final = 4096


def scores(panel: Panel) -> Iterable[Finding]:
    """Each result.json against the run's own predictions; what those do not tell, against itself and other seeds."""
    looked, blind, rounded = [], [], 0
    for row in panel.measured:
        for run, tested in row.tested:
            if run.folder is None:
                continue  # computed from the predictions in the first place
            if tested is None:
                blind.append(f"{row.name} seed {run.seed}")
                continue
            compared, wrong = _compare(run.result, tested)
            if wrong:
                text = f"The result of {row.name} seed {run.seed} is not that of its predictions: {', '.join(wrong)}."
                yield Finding("scores", "unfair", text, (row.name,))
            else:
                looked.append(compared)
                rounded += tested.loss[0] < tested.loss[1]
        yield from _costs(row)
    if blind:
        text = f"The scores of {listed(blind)}: no predictions are kept to compute them from."
        yield Finding("scores", "unchecked", text)
    if not looked:
        return
    every = [key for key in STATED if all(key in compared for compared in looked)]
    if every:
        text = f"{listed(every, len(every))} of {counted(len(looked), 'run')} follow from their predictions"
        text += f"; loss and brier of {rounded} only within what rounded probabilities allow" if rounded else ""
        yield Finding("scores", "passed", text)
    if rest := [key for key in STATED if key not in every and any(run.result.get(key) for run in _own(panel))]:
        text = f"Whether {listed(rest, len(rest))} of {counted(len(looked), 'run')} follow from their predictions"
        yield Finding("scores", "unchecked", f"{text}: not every run keeps what tells it.")
    if any(run.result.get(key) for run in _own(panel) for key in ("params", "macs")):
        text = "Parameters and multiply-accumulates: held against the other seeds of a row, not counted again."
        yield Finding("scores", "unchecked", text)


def _own(panel: Panel) -> list[Measured]:
    return [run for row in panel.measured for run in row.own]


def _compare(said: Mapping[str, Any], tested: Tested) -> tuple[list[str], list[str]]:
    """The keys of result.json that were held against the predictions, and in words what it states otherwise."""
    compared, wrong = [], []
    exact = {"f1_macro": tested.f1_macro, "f1_weighted": tested.f1_weighted, "ece": tested.ece}
    bounds = {
        **tested.top,
        **{key: (value, value) for key, value in exact.items() if value is not None},
        "loss": tested.loss,
        "brier": tested.brier,
    }
    near = {"loss": LOSS, "brier": BRIER, "ece": ECE + 200 / tested.images}
    for key, (low, high) in bounds.items():
        if said.get(key) is None:
            continue
        compared.append(key)
        if not low - near.get(key, EXACT) <= float(said[key]) <= high + near.get(key, EXACT):
            name, form, unit = (key.replace("top", "top-"), ".2f", " %") if key in tested.top else (key, ".4f", "")
            between = f"{low:{form}}" if low == high else f"{low:{form}} to {high:{form}}"
            wrong.append(f"{name} {float(said[key]):{form}}{unit} stated, {between} from predictions")
    classes = said.get("classes") or ()
    support = sum(int(line["support"]) for line in classes)
    if support and support != tested.images:
        wrong.append(f"{support:,} test images stated, {tested.images:,} predicted")
    elif classes and tested.classes is not None:
        compared.append("classes")
        stated = np.array([[float(line[key]) for key in PER_CLASS] for line in classes])
        found = np.array(tested.classes, dtype=float)
        if stated.shape != found.shape:
            wrong.append(f"{len(stated)} classes stated, {len(found)} predicted")
        elif (off := (np.abs(stated - found) > EXACT).any(1)).any():
            names = [str(classes[number]["name"]) for number in np.flatnonzero(off)]
            wrong.append(f"other figures of {counted(len(names), 'class', 'classes')} ({listed(names)}) stated")
    return compared, wrong


def _costs(row: AuditRow) -> Iterable[Finding]:
    """What result.json says of the network's cost, where that contradicts itself or another seed of the row."""
    for key in ("params", "trainable_params", "param_mib", "macs", "flops"):
        values = {run.seed: float(run.result[key]) for run in row.own if run.result.get(key) is not None}
        if len(set(values.values())) > 1:
            said = ", ".join(f"seed {seed} {value:,g}" for seed, value in values.items())
            yield Finding("scores", "unfair", f"{key} of {row.name} is not one number: {said}.", (row.name,))
    for run in row.own:
        params, macs = run.result.get("params"), run.result.get("macs")
        for key, known in (
            ("param_mib", None if params is None else params * 4 / 2**20),
            ("flops", None if macs is None else macs * 2),
        ):
            stated = run.result.get(key)
            if known is not None and stated is not None and abs(float(stated) - known) > 1e-3 * max(known, 1e-3):
                of = "params" if key == "param_mib" else "macs"
                text = (
                    f"{row.name} seed {run.seed} states {key} {float(stated):,.6g}, where its {of} make {known:,.6g}."
                )
                yield Finding("scores", "unfair", text, (row.name,))


def test_images(panel: Panel) -> Iterable[Finding]:
    """Every run on the same test images with the same labels, each image once."""
    found = [(row, run, tested) for row in panel.measured for run, tested in row.tested if tested is not None]
    if not found:
        return
    for row, run, tested in found:
        if tested.distinct != tested.images:
            again = tested.images - tested.distinct
            text = f"{row.name} seed {run.seed} counts {counted(again, 'test image')} more than once."
            yield Finding("test_images", "unfair", text, (row.name,))
        limit = run.spec.data.test_limit if run.spec is not None else None
        if limit is not None and tested.images > limit:
            text = f"{row.name} seed {run.seed} was tested on {tested.images:,} images, not {limit:,} as it states."
            yield Finding("test_images", "unfair", text, (row.name,))
    numbers: dict[tuple[str, str], int] = {}
    said: dict[str, set[str]] = defaultdict(set)
    for row, _, tested in found:
        number = numbers.setdefault((tested.which, tested.labelled), len(numbers))
        said[row.name].add(f"{tested.images:,} images" + (f" (set {number + 1})" if number else ""))
    if len(numbers) > 1:
        values = {name: " / ".join(sorted(words)) for name, words in said.items()}
        odd = odd_ones(values) or (" / ".join(values[next(iter(values))]), tuple(values))
        text = f"Rows are not tested on the same images with the same labels. {odd[0]}."
        yield Finding("test_images", "unfair", text, odd[1])
    elif len(found) > 1:
        text = f"all {len(found)} runs were tested on the same {found[0][2].images:,} images with the same labels"
        yield Finding("test_images", "passed", text)


def independent(panel: Panel) -> Iterable[Finding]:
    """Runs that should differ (in seed or setting) must not have equal predictions or equal weights."""
    runs = [(row, run, tested) for row in panel.measured for run, tested in row.tested]
    copies: list[tuple[AuditRow, Measured, AuditRow, Measured, str]] = []
    first: dict[str, tuple[AuditRow, Measured]] = {}
    for row, run, tested in runs:
        if tested is None:
            continue
        before = first.setdefault(tested.content, (row, run))
        if before[1] is not run and not _the_same_run(before[1], run):
            copies.append((*before, row, run, "predictions"))
    for row in panel.measured:
        weighed = [(run, path) for run in row.own if (path := _weights(run)) is not None]
        for i, (one, here) in enumerate(weighed):
            for two, there in weighed[:i]:
                known = any({id(a), id(b)} == {id(one), id(two)} for _, a, _, b, _ in copies)
                if not known and not _the_same_run(one, two) and equal_files(here, there):
                    copies.append((row, two, row, one, "weights"))
    twins: dict[str, list[str]] = {}
    for before_row, before_run, row, run, what in copies:
        if before_row is not row and before_run.seed == run.seed:
            twins.setdefault(before_row.name, [])
            twins[before_row.name] += [row.name] if row.name not in twins[before_row.name] else []
            continue
        text = (
            f"{_named(before_row, before_run)} and {_named(row, run)} have equal {what}: a copy is no run of its own,"
        )
        yield Finding("independent", "unfair", f"{text} and shows no spread.", (row.name,))
    for name, others in twins.items():
        text = f"{listed([name, *others])} have equal predictions, seed by seed: copies, or what differs between them "
        yield Finding("independent", "differs", f"{text}changes nothing.", tuple(others))
    looked = sum(tested is not None for _, _, tested in runs)
    if looked > 1 and not copies:
        text = f"{counted(looked, 'run')} are runs of their own: no two have the same predictions"
        yield Finding("independent", "passed", text)


def _the_same_run(one: Measured, two: Measured) -> bool:
    """Whether two runs may be equal: rows that share a run, or the same training carried out twice."""
    if one.folder is None or two.folder is None:
        return one.file is not None and one.file == two.file
    return one.folder.path == two.folder.path or one.folder.identity == two.folder.identity


def _named(row: AuditRow, run: Measured) -> str:
    return f"{row.name} seed {run.seed}"


def _weights(run: Measured) -> Path | None:
    path = run.folder.weights if run.folder is not None else None
    return path if path is not None and path.is_file() else None


def equal_files(one: Path, two: Path) -> bool:
    """Whether two files hold the same bytes; files of other content are told apart by a few blocks of each."""
    size = one.stat().st_size
    if size != two.stat().st_size:
        return False
    with one.open("rb") as a, two.open("rb") as b:
        for number in range(SAMPLES):
            place = number * max(0, size - BLOCK) // (SAMPLES - 1)
            a.seek(place)
            b.seek(place)
            if a.read(BLOCK) != b.read(BLOCK):
                return False
        a.seek(0)
        b.seek(0)
        return hashlib.file_digest(a, "sha256").digest() == hashlib.file_digest(b, "sha256").digest()
