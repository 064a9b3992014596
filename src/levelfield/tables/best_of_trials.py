"""What trials say beyond the best one: expected bests, and which row is better at equal numbers of trials.

Only of trials that were drawn without regard to one another, all alike for every row; what a grid or a sampler that
learns has tried is no sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from levelfield.statistics.best_of_trials import EqualTrials, ExpectedBest, at_equal_trials, expected_bests
from levelfield.tables.lists_in_words import counted, listed
from levelfield.tables.number_format import percent, signed
from levelfield.tables.sweep import GRID, Sweep, called
from levelfield.units import duration, plain, short

LEARNS: Final = "tpe"
LEAST: Final = 3
"""So many times k trials a row are needed before the best of k is compared (`told_at`)."""
MANY: Final = 4
"""Of more rows only the pairs that are decided are named."""


def is_sample(sweep: Sweep) -> bool:
    """Whether its trials were drawn without regard to one another."""
    return sweep.sampler not in (GRID, LEARNS)


def expected_of(sweep: Sweep) -> tuple[ExpectedBest, ...]:
    """The expected best of 1, 2 ... of its trials. Those that were pruned would never have been chosen, but how far
    they would have come is not known: then only of more trials than were pruned, and without intervals."""
    if not is_sample(sweep) or sweep.best is None:
        return ()
    if not sweep.count("pruned"):
        return tuple(_within(one) for one in expected_bests(sweep.scores()))
    unknown = sweep.count("pruned") + sweep.count("failed")
    lowest = min(trial.val_top1 or 0.0 for trial in sweep.finished)
    below = [lowest] * unknown + [trial.val_top1 or 0.0 for trial in sweep.finished]  # of no weight for more than these
    return tuple(ExpectedBest(one.k, one.estimate) for one in expected_bests(below) if one.k > unknown)


def _within(one: ExpectedBest) -> ExpectedBest:
    """Its interval cut at what scores can be."""
    if one.low is None or one.high is None:
        return one
    return replace(one, low=max(one.low, 0.0), high=min(one.high, 100.0))


def comparable(sweeps: Sequence[Sweep]) -> list[Sweep]:
    """Those whose trials may be held against each other: samples alike in draw, number and length, none pruned; of
    several such sets of sweeps the largest."""
    alike: dict[tuple[object, ...], list[Sweep]] = {}
    for sweep in sweeps:
        if is_sample(sweep) and sweep.best is not None and not sweep.count("pruned"):
            alike.setdefault(_search(sweep), []).append(sweep)
    same = max(alike.values(), key=len, default=[])
    return same if len(same) > 1 else []


def _search(sweep: Sweep) -> tuple[object, ...]:
    return (len(sweep.points), sweep.sampler, sweep.setting, repr(sorted(sweep.space.items())))


def who_is_better(sweeps: Sequence[Sweep]) -> tuple[EqualTrials, ...]:
    """All pairs of rows at equal numbers of trials, as one family."""
    return at_equal_trials({sweep.rows[0]: sweep.scores() for sweep in comparable(sweeps)})


def verdicts_in_words(sweeps: Sequence[Sweep]) -> list[str]:
    """Who beats whom if both may try once, and if both may try more often; empty where that cannot be told."""
    held = comparable(sweeps)
    if not held:
        return []
    count, found = len(held[0].points), who_is_better(sweeps)
    told = [one for one in found if one.decided] if len(held) > MANY else found
    pairs = dict.fromkeys((one.a, one.b) for one in told)
    said = [pair_in_words([one for one in told if (one.a, one.b) == pair]) for pair in pairs]
    if left := len(found) - len(told):
        said.append(f"Not distinguishable: {left} other pairs of rows at equal numbers of trials.")
    others = [sweep.rows[0] for sweep in sweeps if sweep not in held]
    if others:
        said.append(f"Not compared at equal trials, as theirs were other ones, pruned or failed: {listed(others, 8)}.")
    if found and count > 1:
        said.append(
            f"With {count} trials a row nothing can be said of the best of {count}: that takes {LEAST * count}."
        )
    return said


def pair_in_words(at_each: Sequence[EqualTrials]) -> str:
    """A sentence on one pair: "A beats B if both may try 1 (...); not distinguishable if both may try 5 (...)."

    Differences are the first named row's lead over the other; who wins is named anew where it changes.
    """
    said: list[str] = []
    first = at_each[0].a
    for one in at_each:
        if one.decided:
            first = one.a if one.difference > 0 else one.b
        turned = first == one.b
        other = one.a if turned else one.b
        lead = -one.difference if turned else one.difference
        low, high = (-one.high, -one.low) if turned else (one.low, one.high)
        which = f"{first} beats {other}" if one.decided else "not distinguishable"
        if not one.decided and not said:
            which = f"{first} and {other} are not distinguishable"
        interval = f"[{signed(max(low, -100.0))}, {signed(min(high, 100.0))}]"
        said.append(f"{which} if both may try {one.k} ({signed(lead)} points {interval})")
    return "; ".join(said) + "."


def cost_in_words(sweep: Sweep) -> str:
    """What the search cost, with those that were made before it: trials, epochs, time, multiply-accumulates."""
    words = [counted(len(sweep.paid), "trial"), f"{plain(sweep.epochs, 4)} epoch{'' if sweep.epochs == 1 else 's'}"]
    words += [duration(sweep.seconds)] if sweep.seconds else []
    words += [f"{short(sweep.training_macs)} MACs"] if sweep.training_macs else []
    return ", ".join(words)


def earlier_in_words(sweep: Sweep) -> str:
    """The trials that other searches made for the same rows before."""
    return f"{counted(len(sweep.earlier), 'trial')} of other searches in this folder"


def setting_in_words(sweep: Sweep) -> str:
    """The best setting: each key and its value."""
    best = sweep.best
    return "" if best is None else ", ".join(f"{called(key)} {value_in_words(best.setting[key])}" for key in sweep.keys)


def value_in_words(value: object) -> str:
    """A value of a recipe as a sentence holds it."""
    return plain(value, 4) if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def sweep_in_words(sweep: Sweep) -> str:
    """What a sweep found for a row, in a sentence."""
    kind = "point" if sweep.sampler == GRID else "trial"
    tried = f"{listed(list(sweep.rows), 30)}: a sweep of {counted(len(sweep.points), kind)} ({sweep.setting})"
    best, failed, pruned = sweep.best, sweep.count("failed"), sweep.count("pruned")
    tried += f", after {earlier_in_words(sweep)}" if sweep.earlier else ""
    if best is None:
        return f"{tried} in which every {kind} failed"
    text = f"{tried} is best at {setting_in_words(sweep)} ({percent(best.val_top1)} % on validation)"
    text += "" if sweep.sensitivity is None else f", {percent(sweep.sensitivity)} points above its median {kind}"
    text += f"; the best lies on the edge of what was tried ({', '.join(sweep.edges)})" if sweep.edges else ""
    text += f"; {pruned} pruned" if pruned else ""
    text += f"; {counted(failed, kind)} failed" if failed else ""
    return text + (f"; it cost {cost_in_words(sweep)}" if sweep.epochs else "")
