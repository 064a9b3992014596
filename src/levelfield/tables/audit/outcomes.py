"""What became of the runs: failures count as outcomes, and runs that finished must have done what was asked."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Final

from levelfield.spec import Budget
from levelfield.tables.audit.findings import AuditRow, Finding, Panel, counted, differing, listed
from levelfield.tables.audit.settings import same

DEVIATION: Final = 0.01
"""Relative difference of counted steps or images that is not worth a finding (last batches, rounding)."""
IN_TRAINING: Final = ("not finite", "out of memory")
"""How the reason of a run that failed while it trained can be told from that of one that never began."""


def failures(panel: Panel) -> Iterable[Finding]:
    """Runs that failed or diverged: a mean over the survivors is better than the row."""
    troubled = False
    for row in panel.rows:
        failed = failed_seeds(row)
        done = len(row.runs.finished)
        if failed:
            troubled = True
            why = "; ".join(f"{reason} ({counted(count, 'run')})" for reason, count in Counter(failed.values()).items())
            asked = done + len(failed)
            if done:
                text = f"{len(failed)} of {asked} runs of {row.name} failed: {why}. Its score is that of the "
                text += f"{counted(done, 'run')} that came through, which is no fair comparison."
                yield Finding("failures", "unfair", text, (row.name,))
            else:
                runs = "its only run" if asked == 1 else f"all its {asked} runs"
                yield Finding("failures", "differs", f"{row.name} has no result: {runs} failed: {why}.", (row.name,))
        if done and (missing := lacking(row)):
            yield Finding("failures", "differs", f"{row.name} lacks runs: {'; '.join(missing)}.", (row.name,))
    for row in panel.measured:
        if row.runs.conflicts:
            text = f"{row.name} holds finished runs of one seed that contradict each other, and the first counts: "
            yield Finding("failures", "unfair", f"{text}{listed(row.runs.conflicts)}.", (row.name,))
    yield from absent(panel)
    finished = sum(len(row.own) for row in panel.measured)
    if finished and not troubled:
        yield Finding("failures", "passed", f"none of {counted(finished, 'run')} failed or diverged")


def absent(panel: Panel) -> Iterable[Finding]:
    """Seeds that were asked for and of which nothing is there, not even why."""
    rows = [row for row in panel.measured if row.runs.row.planned]
    gone: dict[int, list[str]] = defaultdict(list)
    for row in rows:
        there = {run.seed for run in row.own} | {run.spec().seed for run in row.runs.row.runs}
        for seed in sorted(set(row.runs.row.planned) - there - row.runs.row.failures.keys()):
            gone[seed].append(row.name)
    seeds_of: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for seed, names in gone.items():
        seeds_of[tuple(names)].append(str(seed))
    for lacking_it, seeds in seeds_of.items():
        of = panel.every if len(lacking_it) == len(rows) > 1 else listed(lacking_it)
        text = f"Asked for and not there: seed{'s' if len(seeds) > 1 else ''} {listed(seeds, 8)} of {of}."
        yield Finding("failures", "differs", text, lacking_it)


def failed_seeds(row: AuditRow) -> dict[int, str]:
    """Seed -> why its run failed, of the seeds without a result; from the run folders and from the study.

    A run that could not begin (its data was not there) is none that failed; where folders of failed runs are not kept,
    the reason tells.
    """
    done = {run.seed for run in row.runs.finished}
    begun = {run.spec().seed: run.result() for run in row.runs.row.runs}
    found = {
        seed: why
        for seed, why in row.runs.row.failures.items()
        if seed not in done and (seed in begun or any(sign in why for sign in IN_TRAINING))
    }
    for seed, result in begun.items():
        if seed not in done and result is not None and result["status"] != "finished":
            found[seed] = str(result["status"]).removeprefix("failed: ")
    return {seed: why.splitlines()[0] for seed, why in sorted(found.items())}


def lacking(row: AuditRow) -> list[str]:
    """What else the row lacks beside its finished runs, seed by seed: runs that have not ended, or could not begin."""
    failed = failed_seeds(row)
    waiting = [reason for reason in row.runs.unfinished if "failed" not in reason]
    done = {run.seed for run in row.runs.finished}
    return waiting + [f"seed {s}: could not begin" for s in row.runs.row.failures if s not in failed and s not in done]


def resumed(panel: Panel) -> Iterable[Finding]:
    """Runs that went on after a failure, after an interruption, or that cannot say which."""
    after_failure: list[tuple[AuditRow, str, str]] = []
    after_stop: list[tuple[AuditRow, str]] = []
    silent: list[tuple[AuditRow, str]] = []
    for row in panel.measured:
        for run in row.own:
            name, before = f"{row.name} seed {run.seed}", run.result.get("failed_before")
            if before:
                after_failure.append((row, name, str(before[0])))
            elif run.result.get("resumed_from"):
                (silent if before is None else after_stop).append((row, name))
    for row, name, why in after_failure:
        text = f"{name} failed, went on from a checkpoint and is counted as if it had not: {why}."
        yield Finding("resumed", "unfair", text, (row.name,))
    if silent:
        text = f"Whether {listed([name for _, name in silent])} failed before going on from a checkpoint: not recorded."
        yield Finding("resumed", "unchecked", text, tuple(dict.fromkeys(row.name for row, _ in silent)))
    if after_stop:
        text = f"Interrupted, then resumed: {listed([name for _, name in after_stop])}."
        yield Finding("resumed", "differs", text, tuple(dict.fromkeys(row.name for row, _ in after_stop)))
    runs = sum(len(row.own) for row in panel.measured)
    if runs and not (after_failure or silent or after_stop):
        yield Finding("resumed", "passed", f"{counted(runs, 'run')} trained in one go")


def length(panel: Panel) -> Iterable[Finding]:
    """Steps and images that were counted, where equal settings promise equal numbers; and runs that stopped early."""
    found = False
    if same(panel, "budget", "recipe.batch_size", "recipe.schedule", "data"):
        for key, what in (("steps", "optimiser steps"), ("samples_seen", "training images")):
            means = {row.name: round(fmean(taken)) for row in panel.measured if (taken := row.results(key))}
            if means and max(means.values()) > (1 + DEVIATION) * min(means.values()):
                found = True
                values = {name: f"{mean:,} {what}" for name, mean in means.items()}
                yield from differing("length", "unfair", f"The counted number of {what}", values)
    for row in panel.measured:
        for run in row.own:
            declared = run.spec.budget if run.spec is not None else None
            done = _done(run.result, declared)
            if declared is not None and done is not None and done[0] < done[1] * (1 - DEVIATION):
                found = True
                text = f"{row.name} seed {run.seed} stopped early: {done[0]:g} of {budget_in_words(declared)}."
                yield Finding("length", "unfair", text, (row.name,))
    specs = [(run.result, run.spec.budget) for row in panel.measured for run in row.own if run.spec is not None]
    known = sum(_done(result, asked) is not None for result, asked in specs)
    if known and not found:
        yield Finding("length", "passed", f"{counted(known, 'run')} trained to their declared end")


def _done(result: Mapping[str, object], budget: Budget | None) -> tuple[float, float] | None:
    """How far a run came and how far it should have, in the unit of its budget; None where it does not say."""
    if budget is None:
        return None
    for unit, key in (("epochs", "epochs_done"), ("steps", "steps"), ("samples", "samples_seen")):
        asked, done = getattr(budget, unit), result.get(key)
        if asked is not None and isinstance(done, (int, float)):
            return float(done), float(asked)
    return None


def budget_in_words(budget: Budget) -> str:
    for unit in ("epochs", "steps", "samples"):
        if (long := getattr(budget, unit)) is not None:
            return f"{long:,g} {unit}"
    raise AssertionError("a budget has a length")


def untrained(panel: Panel) -> Iterable[Finding]:
    """Parameters that were never trained, by freezing or by mistake."""
    looked, found = False, False
    for row in panel.measured:
        counts = {(r["params"], r["trainable_params"]) for run in row.own if (r := run.result).get("trainable_params")}
        looked = looked or bool(counts)
        never = max((params - trained for params, trained in counts), default=0)
        if not never:
            continue
        freeze = row.spec.recipe.freeze if row.spec is not None else None
        declared = freeze is not None and bool(freeze.patterns) and freeze.epochs is None
        found = True
        how = "frozen as its recipe declares" if declared else "though its recipe freezes none for good"
        text = f"{never:,} parameters of {row.name} were never trained, {how}."
        yield Finding("untrained", "differs" if declared else "unfair", text, (row.name,))
    if looked and not found:
        yield Finding("untrained", "passed", f"every parameter of {panel.every} was trained")


def selection(panel: Panel) -> Iterable[Finding]:
    """Runs that declare the best epoch on validation must have chosen one, on images that they held out."""
    wrong = []
    chosen = 0
    for row in panel.measured:
        for run in row.own:
            if run.spec is None or run.spec.recipe.selection != "best_validation":
                continue
            chosen += 1
            if not run.spec.data.validation or run.result.get("best_epoch") is None:
                wrong.append((row.name, f"{row.name} seed {run.seed}"))
    if wrong:
        text = f"The best epoch on validation was declared but not chosen: {listed([name for _, name in wrong])}."
        yield Finding("selection", "unfair", text, tuple(dict.fromkeys(row for row, _ in wrong)))
    elif chosen:
        yield Finding("selection", "passed", f"{counted(chosen, 'run')} chose their epoch on held-out training images")


def seeds(panel: Panel) -> Iterable[Finding]:
    """Rows are compared pair by pair of equal seeds."""
    values = {row.name: "seeds " + ", ".join(str(run.seed) for run in row.own) for row in panel.measured if row.own}
    yield from differing("seeds", "differs", "Only seeds that rows have in common are paired; the set of seeds", values)
    single = tuple(row.name for row in panel.measured if len(row.runs.finished) == 1)
    if single:
        text = f"Rows with one run show nothing of the spread over seeds: {listed(single)}."
        yield Finding("seeds", "differs", text, single)
    elif len(values) > 1 and len(set(values.values())) == 1:
        yield Finding("seeds", "passed", f"{panel.every} has the same {next(iter(values.values()))}")


def smoothing(panel: Panel) -> Iterable[Finding]:
    """Label smoothing that a recipe declares and drops from mixed batches."""
    dropped = []
    for row in panel.measured:
        if row.spec is None or not row.spec.recipe.regularisation.label_smoothing:
            continue
        if row.spec.recipe.mix.active and not row.spec.recipe.regularisation.smoothing_with_mix:
            dropped.append(row.name)
    if dropped:
        text = f"Label smoothing is dropped from mixed batches, as the recipe declares, in {listed(dropped)}."
        yield Finding("smoothing", "differs", text, tuple(dropped))
