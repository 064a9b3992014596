"""Rows whose study declares a search for all of them: was it made alike for each, and are its best settings in use?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from levelfield.spec.varied_keys import covers
from levelfield.statistics.halving import goes_on
from levelfield.tables.audit.checks.training_length import budget_in_words
from levelfield.tables.audit.compare_values import contrast
from levelfield.tables.audit.findings import AuditRow, Finding, Panel, differing
from levelfield.tables.audit.swept_runs import SweptRun, best_of, searched, value_at
from levelfield.tables.lists_in_words import counted, listed
from levelfield.tables.sweep import called
from levelfield.tables.sweeps import read_sweeps
from levelfield.units import plain

CHECK: Final = "tuning"
TOLERANCE: Final = 1e-3
"""Relative difference of two drawn values that rounding explains: they have four digits."""

OF_TRIALS: Final = (
    "seed", "budget", "execution", "recipe.name", "recipe.description", "recipe.selection", "recipe.validation",
    "data.validation",
)  # fmt: skip
"""Keys of a run in which a trial is another than its row."""

Tried = Mapping[str, Sequence[SweptRun]]
"""By row, the runs of its search."""


def tuning(panel: Panel) -> Iterable[Finding]:
    """Untuned rows beside tuned ones, unequal trials, spaces, or pruning, settings chosen by anything but validation,
    and the best at the edge of what was tried: from the trials' own run folders."""
    rows = [row for row in panel.measured if row.own and "tuning" in row.runs.row.facts]
    if not rows:
        return
    made = {row.name: searched(row, panel.folder) for row in rows}
    tried: Tried = {name: found.last for name, found in made.items()}
    begun = {name: found.begun for name, found in made.items() if found.begun}
    kept = {name for sweep in (read_sweeps(panel.folder) if panel.folder else ()) for name in sweep.rows}
    gone = [row.name for row in rows if not tried[row.name] and kept & set(row.runs.row.names)]
    if gone:
        text = f"How the settings of {listed(gone)} were found: the runs of their trials are not here."
        yield Finding(CHECK, "unchecked", text, tuple(gone))
    tuned = [row for row in rows if tried[row.name]]
    untuned = [row.name for row in rows if not tried[row.name] and row.name not in gone]
    found = [*_untuned(untuned, bool(tuned or gone))]
    if tuned:
        paid = {name: found.paid for name, found in made.items()}
        unfair = [*_unequal(tuned, tried, paid), *_judged(tuned, paid), *_used(tuned, tried)]
        found += [*unfair, *_unended(begun), *_failed(tuned, tried), *_otherwise(tuned, tried), *_edges(tuned, tried)]
        if not unfair and not untuned:
            found.append(_passed(tuned, paid))
    yield from found


def _unended(begun: Tried) -> Iterable[Finding]:
    """Trials of a search that has not ended, beside one that has: nothing of it is used."""
    if begun:
        counts = listed([f"{name} ({counted(len(runs), 'trial')})" for name, runs in begun.items()])
        text = f"A further search was begun and has not ended, so that nothing of it is used: {counts}."
        yield Finding(CHECK, "differs", text, tuple(begun))


def _untuned(names: Sequence[str], others: bool) -> Iterable[Finding]:
    if names and others:
        text = (
            f"Untuned beside tuned rows: {listed(names)} use the recipe's own setting, as no trial was made for them."
        )
        yield Finding(CHECK, "unfair", text, tuple(names))
    elif names:
        text = f"The study declares a search for settings that was not made: {listed(names)} use the recipe's own."
        yield Finding(CHECK, "differs", text, tuple(names))


def _unequal(rows: Sequence[AuditRow], tried: Tried, paid: Tried) -> Iterable[Finding]:
    """In number and length of all trials that were paid for, in what was tried, and in which of them were stopped."""
    budgets = {row.name: budget(paid[row.name]) for row in rows}
    yield from differing(CHECK, "unfair", "Rows were tuned with unequal budgets", budgets)
    yield from differing(CHECK, "unfair", "Rows were tuned in unequal spaces", _spaces(rows, tried))
    for row in rows:
        rule, numbers = row.runs.row.facts["tuning"], [run.number for run in tried[row.name]]
        if len(set(numbers)) < len(numbers):
            text = f"Trials of {row.name} were made more than once: whether by the rule of pruning is not told."
            yield Finding(CHECK, "unchecked", text, (row.name,))
            continue
        spared, unended = _against_rule(tried[row.name], rule.get("rungs", ()), rule.get("reduction", 3))
        if spared:
            text = f"Trials of {row.name} were let go on against the rule that all rows have: {listed(spared)}."
            yield Finding(CHECK, "unfair", text, (row.name,))
        if unended:
            text = (
                f"Trials of {row.name} have not ended, and no rule stopped them: {listed(unended)}. `levelfield study "
                "sweep` goes on with a search that was interrupted."
            )
            yield Finding(CHECK, "unfair", text, (row.name,))


def budget(runs: Sequence[SweptRun]) -> str:
    """How many trials of which length."""
    lengths = [budget_in_words(run.spec.budget) for run in runs]
    return " and ".join(f"{counted(lengths.count(one), 'trial')} of {one}" for one in sorted(set(lengths)))


def _spaces(rows: Sequence[AuditRow], tried: Tried) -> dict[str, str]:
    """What was tried of each row, in words that are equal where the trials that all rows have in common are."""
    space: Mapping[str, Any] = rows[0].runs.row.facts["tuning"]["space"]
    alike = _alike(rows[0].runs.row.facts["tuning"])
    numbers = [{run.number for run in tried[row.name] if run.number < alike} for row in rows]
    common = set.intersection(*numbers)
    drawn = {row.name: [run for run in tried[row.name] if run.number in common] for row in rows}
    groups: list[str] = []
    said = {}
    for name, runs in drawn.items():
        same = next((i for i, other in enumerate(groups) if _alike_drawn(runs, drawn[other], space)), len(groups))
        if same == len(groups):
            groups.append(name)
        ranges = ", ".join(f"{called(key)} {_range([run.value(key) for run in tried[name]])}" for key in space)
        said[name] = (same, ranges)
    several = len({ranges for _, ranges in said.values()}) < len(groups)
    return {
        name: f"{said[groups[same]][1]}" + (f" (draw {same + 1})" if several else "")
        for name, (same, _) in said.items()
    }


def _alike(rule: Mapping[str, Any]) -> int:
    """How many trials are drawn alike (`studies.declared.tuning.Tuning.alike`)."""
    trials = int(rule["trials"])
    return (trials + 1) // 2 if rule.get("sampler") == "tpe" else max(trials, 10**6)


def _alike_drawn(one: Sequence[SweptRun], other: Sequence[SweptRun], space: Mapping[str, Any]) -> bool:
    """Whether two rows tried the same: the same values, of an axis of factors the same steps between them."""
    if [run.number for run in one] != [run.number for run in other]:
        return False
    for key, axis in space.items():
        a, b = [run.value(key) for run in one], [run.value(key) for run in other]
        if "times" in axis and all(isinstance(v, (int, float)) and v > 0 for v in (*a, *b)):
            a, b = ([value / values[0] for value in values] for values in (a, b))
        if not all(_equal(v, w) for v, w in zip(a, b, strict=True)):
            return False
    return True


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, float) or isinstance(b, float):
        return isinstance(a, (int, float)) and isinstance(b, (int, float)) and math.isclose(a, b, rel_tol=TOLERANCE)
    return bool(a == b)


def _range(values: Sequence[Any]) -> str:
    if all(isinstance(value, (int, float)) for value in values):
        low, high = min(values), max(values)
        return plain(low) if low == high else f"{plain(low)} to {plain(high)}"
    return listed(list(dict.fromkeys(str(value) for value in values)))


def _against_rule(runs: Sequence[SweptRun], rungs: Sequence[int], reduction: int) -> tuple[list[str], list[str]]:
    """Which trials went further than the rule of pruning says, and which not as far."""
    shown: dict[int, list[float]] = {rung: [] for rung in rungs}
    spared, unended = [], []
    for run in runs:
        stopped = False
        for rung in rungs:
            if (score := run.epochs.get(rung)) is None:
                break
            shown[rung].append(score)
            if stopped := not goes_on(shown[rung], reduction):
                if run.status == "finished" or max(run.epochs) > rung:
                    spared.append(f"trial {run.number} went on past epoch {rung}")
                break
        if not stopped and run.status == "open":
            unended.append(f"trial {run.number} after epoch {max(run.epochs, default=0)}")
    return spared, unended


def _judged(rows: Sequence[AuditRow], tried: Tried) -> Iterable[Finding]:
    """By images that trials held out, and by no seed of the comparison."""
    blind = [row.name for row in rows if any(not run.spec.data.validation for run in tried[row.name])]
    if blind:
        text = f"Trials of {listed(blind)} held out no training images: they can have been judged by test only."
        yield Finding(CHECK, "unfair", text, tuple(blind))
    else:
        held = {row.name: _held_out(tried[row.name]) for row in rows}
        yield from differing(CHECK, "unfair", "Trials were judged on unequal shares of the training images", held)
    shared = {
        row.name: sorted({run.spec.seed for run in tried[row.name]} & {run.seed for run in row.own}) for row in rows
    }
    if names := [name for name, seeds in shared.items() if seeds]:
        text = (
            f"The settings of {listed(names)} were chosen on a seed that they are compared by: {shared[names[0]][0]}."
        )
        yield Finding(CHECK, "unfair", text, tuple(names))


def _held_out(runs: Sequence[SweptRun]) -> str:
    """What part of the training images trials held out."""
    shares = dict.fromkeys(100 * (run.spec.data.validation or 0.0) for run in runs)
    return " and ".join(f"{plain(share, 3)} %" for share in shares)


def _used(rows: Sequence[AuditRow], tried: Tried) -> Iterable[Finding]:
    """The best on validation is what each row has; what is best on test and not on validation was chosen by test."""
    by_test: list[str] = []
    not_best: list[str] = []
    for row in rows:
        space = tuple(row.runs.row.facts["tuning"]["space"])
        runs = [run for run in tried[row.name] if run.status == "finished"]
        if any(_has(row, run, space) for run in best_of(runs)):
            continue
        top = max((run.tested for run in runs if run.tested is not None), default=None)
        chosen = [run for run in runs if run.tested == top and _has(row, run, space)]
        (by_test if top is not None and chosen else not_best).append(row.name)
    if by_test:
        text = f"Tuned on the test set: {listed(by_test)} have the setting that is best on test, not on validation."
        yield Finding(CHECK, "unfair", text, tuple(by_test))
    if not_best:
        text = (
            f"Trials were made, but their best setting is not that of {listed(not_best)}: a search gives it once ended."
        )
        yield Finding(CHECK, "unfair", text, tuple(not_best))


def _failed(rows: Sequence[AuditRow], tried: Tried) -> Iterable[Finding]:
    """A row of which trials failed was chosen for among fewer settings than others were."""
    counts = {row.name: sum(run.status == "failed" for run in tried[row.name]) for row in rows}
    said = {name: f"{name}: {count} of {len(tried[name])}" for name, count in counts.items() if count}
    if said:
        text = f"Trials failed or diverged, so that fewer settings were chosen among: {'; '.join(said.values())}."
        yield Finding(CHECK, "differs", text, tuple(said))


def _otherwise(rows: Sequence[AuditRow], tried: Tried) -> Iterable[Finding]:
    """What else trials had than the rows that are compared, as where a search was made at another scale."""
    said: dict[str, list[str]] = {}
    for row in rows:
        meant = (*OF_TRIALS, *row.runs.row.facts["tuning"]["space"])
        both = {"the row": row.own[0].spec, "trials": tried[row.name][0].spec}
        if keys := [key for key in contrast(both) if not covers(meant, key)]:
            said.setdefault(listed(keys, 5), []).append(row.name)
    for words, names in said.items():
        text = f"Trials of {listed(names)} were made with other settings than the rows have: {words}."
        yield Finding(CHECK, "differs", text, tuple(names))


def _has(row: AuditRow, run: SweptRun, space: Sequence[str]) -> bool:
    return row.spec is not None and all(_equal(run.value(key), value_at(row.spec, key)) for key in space)


def _edges(rows: Sequence[AuditRow], tried: Tried) -> Iterable[Finding]:
    """The best is the outermost of what was tried: beyond it nothing is known."""
    said: dict[str, list[str]] = {}
    for row in rows:
        best = best_of(tried[row.name])[:1]
        for key, axis in row.runs.row.facts["tuning"]["space"].items():
            values = [run.value(key) for run in tried[row.name]]
            if best and "choice" not in axis and len(set(values)) > 1:
                ends = {min(values): "lowest", max(values): "highest"}
                if (end := ends.get(best[0].value(key))) is not None:
                    said.setdefault(row.name, []).append(f"{end} {called(key)}")
    if said:
        where = "; ".join(f"{name}: {listed(ends)}" for name, ends in said.items())
        text = f"The best setting lies on the edge of what was tried, so a better one may lie beyond: {where}."
        yield Finding(CHECK, "differs", text, tuple(said))


def _passed(rows: Sequence[AuditRow], tried: Tried) -> Finding:
    names = [row.name for row in rows]
    text = f"tuned alike on held-out training images: {budget(tried[names[0]])} for each of {listed(names)}"
    return Finding(CHECK, "passed", text, tuple(names))
