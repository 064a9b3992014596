"""Whether the scores and costs that runs state follow from their predictions and do not contradict each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from levelfield.tables.audit.findings import AuditRow, Finding, Panel
from levelfield.tables.audit.prediction_summary import Tested
from levelfield.tables.lists_in_words import counted, listed

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


def scores(panel: Panel) -> Iterable[Finding]:
    """Each result.json against the run's own predictions; what those do not tell, against itself and other seeds."""
    looked, blind, rounded = [], [], 0
    for row in panel.measured:
        for run, tested in row.tested:
            if run.folder is None:
                continue  # computed from the predictions in the first place
            if run.folder.weights_replaced():
                text = f"The folder of {row.name} seed {run.seed} holds other weights than those that were tested."
                yield Finding("scores", "unfair", text, (row.name,))
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
    if rest := [key for key in STATED if key not in every and any(run.result.get(key) for _, run in panel.own)]:
        text = f"Whether {listed(rest, len(rest))} of {counted(len(looked), 'run')} follow from their predictions"
        yield Finding("scores", "unchecked", f"{text}: not every run keeps what tells it.")
    if any(run.result.get(key) for _, run in panel.own for key in ("params", "macs")):
        text = "Parameters and multiply-accumulates: held against the other seeds of a row, not counted again."
        yield Finding("scores", "unchecked", text)


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
        for key, of, each in (("param_mib", "params", 4 / 2**20), ("flops", "macs", 2)):
            stated, counted_of = run.result.get(key), run.result.get(of)
            if stated is None or counted_of is None:
                continue
            known = counted_of * each
            if abs(float(stated) - known) > 1e-3 * max(known, 1e-3):
                text = f"{row.name} seed {run.seed} states {key} {float(stated):,.6g}, where its {of} make {known:,.6g}"
                yield Finding("scores", "unfair", f"{text}.", (row.name,))
