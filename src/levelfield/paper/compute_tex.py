"""The compute statement: on what the runs trained, for how long, and what of that is not on record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from levelfield.paper.ledger import PROVIDE, Ledger
from levelfield.tables.cost_columns import profile_of, read_costs, trusted
from levelfield.tables.lists_in_words import counted, listed
from levelfield.tables.runs_of_row import Measured
from levelfield.tables.table import StudyTable
from levelfield.tables.text.latex_words import latex_with_breaks as latex
from levelfield.units import duration, plain, size

UNKNOWN: Final = "a machine that is not on record"


def compute_tex(table: StudyTable, ledger: Ledger) -> str:
    """A paragraph, and a line a row with the hours of its runs; energy only where a meter measured it."""
    lines = [PROVIDE, ledger.study_comment(), r"\paragraph{Compute.}"]
    runs = [run for row in table.rows for run in row.runs.finished]
    timed = [run for run in runs if train_seconds(run) is not None]
    for machine in dict.fromkeys(map(hardware, timed)):
        here = [run for run in timed if hardware(run) == machine]
        hours = sum(train_seconds(run) or 0.0 for run in here) / 3600
        tested = sum(float(run.result.get("eval_seconds") or 0.0) for run in here) / 3600
        said = f"{counted(len(here), 'run')} on {machine}: {_hours(hours)} of training, {_hours(tested)} of testing."
        lines.append(ledger.of(said, "hours, the sum over runs", value=hours, runs=here))
    for row in table.rows:
        own = [run for run in row.runs.finished if train_seconds(run) is not None]
        if own:
            seconds = [train_seconds(run) or 0.0 for run in own]
            each = f"{_hours(sum(seconds) / len(seconds) / 3600)} a run over {counted(len(own), 'run')}"
            lines.append(f"{latex(row.title)}: {ledger.of(each, 'mean hours of training', [row])};")
    if lines[-1].endswith(";"):
        lines[-1] = lines[-1].removesuffix(";") + "."
    lines += _not_counted(table, ledger, [run for run in runs if train_seconds(run) is None])
    lines += _energy(table, ledger)
    return "\n".join(lines) + "\n"


def train_seconds(run: Measured) -> float | None:
    """How long a run trained, as its result says; None where that is not on record."""
    seconds = run.result.get("train_seconds")
    return None if seconds is None or run.folder is None else float(seconds)


def hardware(run: Measured) -> str:
    """What a run trained on: GPU and memory, or processor and threads."""
    found: dict[str, Any] = {} if run.folder is None else run.folder.environment()
    if gpu := found.get("gpu"):
        memory = found.get("gpu_memory_mib")
        return str(gpu) + (f" ({size(float(memory))})" if memory else "")
    processor = found.get("processor") or found.get("cpu")
    if not processor:
        return UNKNOWN
    threads = found.get("threads")
    return str(processor) + (f", {counted(int(threads), 'thread')}" if threads else "")


def _hours(hours: float) -> str:
    if hours < 1:
        return duration(3600 * hours)
    return f"{plain(hours)} h" if hours < 100 else f"{hours:,.0f} h"


def _not_counted(table: StudyTable, ledger: Ledger, untimed: Sequence[Measured]) -> list[str]:
    """What the hours leave out, each named."""
    said = []
    if untimed:
        said.append(ledger.of(f"Without a time on record: {counted(len(untimed), 'run')}.", "left out", runs=untimed))
    broken = [(row, len(row.runs.unfinished) + row.failed) for row in table.rows if row.runs.unfinished or row.failed]
    if broken:
        names = listed([row.title for row, _ in broken], len(broken))
        said.append(latex(f"Not counted: runs of {names} that failed or did not finish."))
    if table.study.sweeps:
        hours = sum(sweep.seconds for sweep in table.study.sweeps) / 3600
        said.append(ledger.of(f"Tuning beside these runs: {_hours(hours)} of trials.", "hours of trials", value=hours))
    return [*said, "What was spent before this study is not on record."]


def _energy(table: StudyTable, ledger: Ledger) -> list[str]:
    """Of every row whose network was profiled with an energy meter, what inference took."""
    profiles = read_costs(table.study.path)
    said = []
    for row in table.measured:
        profile = profile_of(profiles, row.runs.spec)
        joules = None if profile is None or not trusted(profile) else profile.get("joules_per_image")
        if joules is not None:
            shown = ledger.of(f"{plain(float(joules))} J", "energy of inference an image (NVML)", [row], joules)
            said.append(f"{latex(row.title)} {shown}")
    begin = [f"Energy of inference, an image: {', '.join(said)}."] if said else []
    return [*begin, "The energy of training was not measured."]
