"""How every row was tuned: what that cost, what each trial showed, and who is better at equal numbers of trials."""

from __future__ import annotations

from collections.abc import Sequence

from levelfield.page import markup
from levelfield.page.charts.chart import Chart
from levelfield.page.charts.sensitivity import sensitivity
from levelfield.page.charts.trials import expected_best_chart, knob_charts
from levelfield.page.figure import figures
from levelfield.page.markup import bullets, folded, line, paragraph
from levelfield.page.section import Section
from levelfield.tables.best_of_trials import (
    setting_in_words,
    sweep_in_words,
    value_in_words,
    verdicts_in_words,
)
from levelfield.tables.number_format import p_value, percent
from levelfield.tables.sweep import GRID, Sweep, called
from levelfield.tables.table import StudyTable
from levelfield.units import NONE, duration, plain, short

COSTS = ("row", "trials", "pruned", "failed", "epochs", "time", "training MACs", "validation top-1 %",
         "above the median", "best setting")  # fmt: skip
KNOBS = ("row", "knob", "explains", "p")


def sweeps(table: StudyTable) -> Section | None:
    """The search for each row's setting: its cost, its best, how sensitive the row is, and every trial."""
    found = table.study.sweeps
    if not found:
        return None
    note = "One seed a trial, chosen on the validation slice at equal budgets; test was not looked at."
    charts = _charts(found)
    content = paragraph(note, class_="note") + bullets(verdicts_in_words(found)) + costs(found) + figures(charts)
    content += bullets(sweep_in_words(sweep) for sweep in found) + _knobs(found)
    content += "".join(folded(f"Every trial of {', '.join(sweep.rows)}", _trials(sweep)) for sweep in found)
    grids = all(sweep.sampler == GRID for sweep in found)
    return Section("sweeps", "Sensitivity to the learning rate" if grids else "Tuning", content, charts=charts)


def _charts(found: Sequence[Sweep]) -> tuple[Chart, ...]:
    rates = sensitivity([sweep for sweep in found if sweep.sampler == GRID], "sweeps-rates")
    best = expected_best_chart(found, "sweeps-best")
    shown = [chart for chart in (best, rates) if chart is not None]
    return (*shown, *knob_charts(found, "sweeps-knob"))


def costs(found: Sequence[Sweep]) -> str:
    """The table of what the searches cost, those made before for the same rows with them, and of the best settings."""
    lines = []
    for sweep in found:
        best = sweep.best
        states = [trial.state for trial in sweep.paid]
        cells = [str(len(states)), str(states.count("pruned")), str(states.count("failed"))]
        cells += [plain(sweep.epochs, 4), duration(sweep.seconds), short(sweep.training_macs)]
        cells += [percent(best.val_top1 if best else None), percent(sweep.sensitivity)]
        lines.append(line(", ".join(sweep.rows), *cells, words=setting_in_words(sweep) or NONE))
    return markup.table(COSTS, lines, "What tuning cost and found")


def _knobs(found: Sequence[Sweep]) -> str:
    """How much of the trials' scores each knob explains; nothing where too few trials tell."""
    lines = [
        line(", ".join(sweep.rows), called(key), f"{100 * knob.explained:.0f} %", p_value(knob.p))
        for sweep in found
        for key, knob in sweep.knobs.items()
    ]
    if not lines:
        return ""
    note = "Of the variance of the trials' scores the share that a parabola over the knob (the means of its choices) "
    note += "explains beyond chance, the other knobs taken as noise; p of each by itself."
    return paragraph(note, class_="note") + markup.table(KNOBS, lines, "How much each knob matters")


def _trials(sweep: Sweep) -> str:
    columns = ("trial", *map(called, sweep.keys), "validation top-1 %", "epochs", "what became of it")
    lines = []
    for number, trial in enumerate(sweep.points):
        cells = [value_in_words(trial.setting[key]) for key in sweep.keys]
        state = "best" if trial is sweep.best else trial.state + (f": {trial.why}" if trial.why else "")
        lines.append(line(number, *cells, percent(trial.val_top1), plain(trial.epochs, 4), state))
    return paragraph(sweep.setting, class_="note") + markup.table(columns, lines, f"Trials of {sweep.rows[0]}")
