"""Runs that failed, diverged or are not there, and runs that went on after a failure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from levelfield.tables.audit.findings import AuditRow, Finding, Panel
from levelfield.tables.lists_in_words import counted, listed
from levelfield.tables.outcomes import failed_seeds


def failures(panel: Panel) -> Iterable[Finding]:
    """Runs that failed or diverged: a mean over the survivors is better than the row."""
    troubled = False
    for row in panel.rows:
        failed = failed_seeds(row.runs)
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
    if panel.own and not troubled:
        yield Finding("failures", "passed", f"none of {counted(len(panel.own), 'run')} failed or diverged")


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


def lacking(row: AuditRow) -> list[str]:
    """What else the row lacks beside its finished runs, seed by seed: runs that have not ended, or could not begin."""
    failed = failed_seeds(row.runs)
    waiting = [reason for reason in row.runs.unfinished if "failed" not in reason]
    done = {run.seed for run in row.runs.finished}
    return waiting + [f"seed {s}: could not begin" for s in row.runs.row.failures if s not in failed and s not in done]


def resumed(panel: Panel) -> Iterable[Finding]:
    """Runs that went on after a failure, after an interruption, or that cannot say which."""
    after_stop: list[tuple[AuditRow, str]] = []
    silent: list[tuple[AuditRow, str]] = []
    failed = False
    for row, run in panel.own:
        name, before = f"{row.name} seed {run.seed}", run.result.get("failed_before")
        if before:
            failed = True
            text = f"{name} failed, went on from a checkpoint and is counted as if it had not: {before[0]}."
            yield Finding("resumed", "unfair", text, (row.name,))
        elif run.result.get("resumed_from"):
            (silent if before is None else after_stop).append((row, name))
    if silent:
        text = f"Whether {listed([name for _, name in silent])} failed before going on from a checkpoint: not recorded."
        yield Finding("resumed", "unchecked", text, tuple(dict.fromkeys(row.name for row, _ in silent)))
    if after_stop:
        text = f"Interrupted, then resumed: {listed([name for _, name in after_stop])}."
        yield Finding("resumed", "differs", text, tuple(dict.fromkeys(row.name for row, _ in after_stop)))
    if panel.own and not (failed or silent or after_stop):
        yield Finding("resumed", "passed", f"{counted(len(panel.own), 'run')} trained in one go")
