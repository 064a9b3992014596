"""What a search for a row's setting found: its trials, the best of them, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any, Final, Literal

from levelfield.statistics.knobs import Knob, knob

LR: Final = "recipe.optimizer.lr"
WEIGHT_DECAY: Final = "recipe.optimizer.weight_decay"
WORDS: Final = {LR: "learning rate", WEIGHT_DECAY: "weight decay"}
GRID: Final = "grid"
BACKWARD: Final = 3
"""A training step's multiply-accumulates, in those of a forward pass."""

State = Literal["finished", "pruned", "failed", "open"]


@dataclass(frozen=True)
class Trial:
    """One setting that was tried, and the last validation top-1 that it showed (None: it has none, and `why`).

    `pruned`: stopped at a rung. `run`: its run folder, relative to the sweep's. `epochs`, `images`, `seconds`: how long
    it was trained. `macs`, `teacher_macs`: as the search's, of a trial that another search made.
    """

    setting: Mapping[str, Any]
    val_top1: float | None
    state: State = "finished"
    why: str = ""
    run: str = ""
    epochs: float = 0.0
    images: int = 0
    seconds: float = 0.0
    macs: int | None = None
    teacher_macs: int = 0


@dataclass(frozen=True)
class Sweep:
    """The search for the setting of `rows`, which are one training.

    `setting`: its length, seed and slice in words. `sampler`: how the trials were drawn, from which `space` (key ->
    {log: [low, high]} and its like; empty for a grid), so many of them `alike` for all rows. `rungs` (epochs) and
    `reduction`: the rule of pruning. `macs`: multiply-accumulates of a forward pass of one image, where they are known;
    `teacher_macs`: of its teacher's, 0 without one. `earlier`: trials that other searches in this folder made for these
    rows before: nothing is chosen from them, but they were tried and paid for.
    """

    rows: tuple[str, ...]
    points: tuple[Trial, ...]
    setting: str = ""
    sampler: str = GRID
    space: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    alike: int = 0
    rungs: tuple[int, ...] = ()
    reduction: int = 0
    macs: int | None = None
    teacher_macs: int = 0
    earlier: tuple[Trial, ...] = ()

    @property
    def finished(self) -> tuple[Trial, ...]:
        """The trials that may be chosen: trained to their end."""
        return tuple(trial for trial in self.points if trial.state == "finished" and trial.val_top1 is not None)

    @property
    def best(self) -> Trial | None:
        """The trial with the best validation at its end; None where none came there."""
        return max(self.finished, key=lambda trial: trial.val_top1 or 0.0, default=None)

    def count(self, state: State) -> int:
        """How many trials of this search ended so."""
        return sum(trial.state == state for trial in self.points)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that were searched over."""
        return tuple(self.space) or tuple(self.points[0].setting if self.points else ())

    @property
    def edges(self) -> tuple[str, ...]:
        """On which edges of what was tried the best lies: nothing was tried beyond, so the space may be too small."""
        best = self.best
        if best is None:
            return ()
        found = []
        for key in self.keys:
            values = {trial.setting[key] for trial in self.points} if self._ordered(key) else set()
            value = best.setting[key]
            if len(values) > 1 and value in (min(values), max(values)):
                found.append(f"{'lowest' if value == min(values) else 'highest'} {called(key)}")
        return tuple(found)

    @property
    def sensitivity(self) -> float | None:
        """Points of validation top-1 between the best and the median trial at its end (of two: their middle)."""
        scores = [trial.val_top1 or 0.0 for trial in self.finished]
        return max(scores) - median(scores) if len(scores) > 1 else None

    @property
    def knobs(self) -> dict[str, Knob]:
        """By key, how much of the trials' scores it explains; without those that too few trials tell."""
        trials = self.finished
        scores = [trial.val_top1 or 0.0 for trial in trials]
        found = {key: knob(self._coordinates(key, trials), scores, self._ordered(key)) for key in self.keys}
        return {key: one for key, one in found.items() if one is not None}

    def scores(self) -> list[float]:
        """The score of every trial in the order of the draw; 0 of one that failed."""
        return [0.0 if trial.state == "failed" else trial.val_top1 or 0.0 for trial in self.points]

    @property
    def paid(self) -> tuple[Trial, ...]:
        """All trials that were made to find the setting, those of earlier searches too."""
        return self.points + self.earlier

    @property
    def seconds(self) -> float:
        return sum(trial.seconds for trial in self.paid)

    @property
    def epochs(self) -> float:
        return sum(trial.epochs for trial in self.paid)

    @property
    def training_macs(self) -> float | None:
        """Multiply-accumulates of all its training, of which a backward pass counts as two forward ones. None where
        those of a trial are not known."""
        own = [replace(trial, macs=self.macs, teacher_macs=self.teacher_macs) for trial in self.points]
        trained = [trial for trial in (*own, *self.earlier) if trial.images]
        if any(trial.macs is None for trial in trained) or (not trained and self.macs is None):
            return None
        return float(sum((BACKWARD * (trial.macs or 0) + trial.teacher_macs) * trial.images for trial in trained))

    def after(self, others: Iterable[Sweep]) -> Sweep:
        """This search, made where `others` were made before: what they tried for any of its rows is `earlier`.

        A trial that is one of its own (a search with more trials goes on from the same draw) counts once.
        """
        seen = {(trial.run, repr(trial.setting)) for trial in self.points}
        before = {(trial.run, repr(trial.setting)): trial for trial in self.earlier}
        for other in others:
            if set(other.rows) & set(self.rows):
                before |= {(trial.run, repr(trial.setting)): trial for trial in other.as_earlier()}
        return replace(self, earlier=tuple(trial for one, trial in before.items() if one not in seen))

    def as_earlier(self) -> list[Trial]:
        """All that was tried, each trial with what its network costs."""
        return [
            trial if trial.macs is not None else replace(trial, macs=self.macs, teacher_macs=self.teacher_macs)
            for trial in self.paid
        ]

    def without(self, rows: Iterable[str]) -> Sweep | None:
        """This search as that of its other rows; None where there are none."""
        left = tuple(name for name in self.rows if name not in set(rows))
        return replace(self, rows=left) if left else None

    def _ordered(self, key: str) -> bool:
        values = [trial.setting[key] for trial in self.points]
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
        return numbers and "choice" not in self.space.get(key, {})

    def _coordinates(self, key: str, trials: Sequence[Trial]) -> list[Any]:
        """Where trials lie on a key's axis: logarithms where it is searched by them."""
        values = [trial.setting[key] for trial in trials]
        if self._ordered(key) and "linear" not in self.space.get(key, {}) and all(value > 0 for value in values):
            return [math.log(value) for value in values]
        return values


def called(key: str) -> str:
    """What a key is called in a sentence."""
    return WORDS.get(key) or key.removeprefix("recipe.")


def as_json(sweep: Sweep) -> dict[str, Any]:
    """A sweep as sweep.json has it, with what follows from its trials."""
    return asdict(sweep) | {
        "points": [_plain(trial) for trial in sweep.points],
        "best": None if sweep.best is None else _plain(sweep.best),
        "edges": list(sweep.edges),
        "sensitivity": sweep.sensitivity,
        "knobs": {key: asdict(one) for key, one in sweep.knobs.items()},
        "cost": {
            "trials": len(sweep.paid),
            "epochs": sweep.epochs,
            "seconds": sweep.seconds,
            "training_macs": sweep.training_macs,
        },
    }


def _plain(trial: Trial) -> dict[str, Any]:
    """A trial of the search itself, which says what its network costs once for all."""
    return {key: value for key, value in asdict(trial).items() if key not in ("macs", "teacher_macs")}


def from_json(found: Mapping[str, Any]) -> Sweep:
    """A sweep as sweep.json has it; of old, points had a learning rate and a weight decay."""
    return Sweep(
        rows=tuple(found["rows"]),
        points=tuple(_trial(point) for point in found["points"]),
        setting=found["setting"],
        sampler=found.get("sampler", GRID),
        space=found.get("space", {}),
        alike=found.get("alike", 0),
        rungs=tuple(found.get("rungs", ())),
        reduction=found.get("reduction", 0),
        macs=found.get("macs"),
        teacher_macs=found.get("teacher_macs", 0),
        earlier=tuple(_trial(point) for point in found.get("earlier", ())),
    )


def _trial(point: Mapping[str, Any]) -> Trial:
    if "setting" in point:
        return Trial(**point)
    score = point["val_top1"]
    setting = {LR: point["lr"], WEIGHT_DECAY: point["weight_decay"]}
    state: State = "finished" if score is not None else "failed"
    return Trial(setting, score, state, point.get("why", ""), point.get("run", ""))
