"""Is a change really better? Baseline and candidate are trained seed by seed until that is decided, or hopeless."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.runs import Predictions, RunFolder, folder_name
from levelfield.spec import RunSpec
from levelfield.statistics import RowScores
from levelfield.statistics.gate import FEWEST, GateLook, compare_candidate, evidence_of, judge
from levelfield.statistics.holm import ALPHA
from levelfield.studies.results.gate_ledger import Asked, Entry, GateVerdict, Ledger, Outcome
from levelfield.studies.results.gate_sides import Side, differing
from levelfield.studies.results.looked_at_before import LookedAt, looked_at_before
from levelfield.studies.results.run_folders import state_of
from levelfield.tables.comparable_rows import match
from levelfield.tables.number_format import signed
from levelfield.tables.rows import Row
from levelfield.tables.runs_of_row import read_row
from levelfield.tables.scores_of_rows import scores_of_rows

MOST: Final = 10
"""Seeds of each side at the last look, unless it is said otherwise."""


@dataclass(frozen=True)
class GateResult:
    """`entry`: the candidate with its outcome. `before`: it was not tried now, the ledger says what came of it.
    `all`: the ledger's candidates, this one among them. `looked_at`: studies of finished runs that were looked at
    before. `differ`: the settings in which the two differ, each as it is of the baseline and of the candidate."""

    entry: Entry
    before: bool
    all: tuple[Entry, ...]
    looked_at: tuple[LookedAt, ...] = ()
    differ: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        assert self.entry.outcome is not None
        return self.entry.outcome

    def count(self, verdict: GateVerdict | None) -> int:
        """How many of all candidates ended so; None: were begun, and not yet ended."""
        return sum((None if one.outcome is None else one.outcome.verdict) == verdict for one in self.all)


def gate(
    base: Side, candidate: Side, by: float, most: int, out: Path, ledger: Ledger | None, progress: Progress
) -> GateResult:
    """Try `candidate`: does it gain more than `by` points on `base`? Runs go below `out`, by what they train, so that a
    baseline's serve all its candidates.

    With a `ledger` the candidate is judged at its number's part of the 5 %, and a question that was decided is not
    asked again; one that was begun goes on with the looks that were planned then. Without one it is judged at 5 %. Of
    finished runs whose study was looked at before it is the part of that which one further look may spend. Raises
    UserError for sides that are one training, or were not tested alike, and where a run of the baseline fails.
    """
    if base.identity == candidate.identity:
        raise UserError(f"{base.name} and {candidate.name} are the same training: there is nothing to compare")
    if base.failures:
        raise UserError(
            f"the baseline {base.name} has a run that failed: {base.failures[0]}\n"
            "give one whose runs all came through, or train it again"
        )
    most = min([most, *(len(side.runs) for side in (base, candidate) if side.spec is None)])
    if most < FEWEST and not candidate.failures:
        raise UserError(f"{most} run of each side is too few: {FEWEST} are the least\nraise --max-seeds, or train more")
    looked_at = looked_at_before([*base.runs, *candidate.runs])
    asked, names = Asked(base.identity, candidate.identity, by), (base.name, candidate.name)
    entry = Entry(1, asked, names, most, ALPHA) if ledger is None else ledger.begin(asked, names, most)
    before = entry.outcome is not None
    if not before:
        share = min((one.share for one in looked_at), default=1.0)
        if most < entry.most and not candidate.failures:
            raise UserError(
                f"{candidate.name} was begun with up to {entry.most} seeds, and its looks share its level up to these; "
                f"now there are {most} at most\ngive --max-seeds {entry.most}, and folders of so many runs"
            )
        outcome = _Trial(base, candidate, entry, share, out, ledger, progress).outcome()
        entry = replace(entry, outcome=outcome)
        if ledger is not None:
            ledger.decide(entry, outcome)
    every = (entry,) if ledger is None else tuple(ledger.entries())
    return GateResult(entry, before, every, looked_at, differing(base, candidate))


@dataclass(frozen=True)
class _Trial:
    """One candidate's trial; `share`: what of its level its looks may spend."""

    base: Side
    candidate: Side
    entry: Entry
    share: float
    out: Path
    ledger: Ledger | None
    progress: Progress

    def outcome(self) -> Outcome:
        if self.candidate.failures:
            return Outcome("not better", f"a run of it failed: {self.candidate.failures[0]}", ())
        looks: list[GateLook] = []
        ours: list[RunFolder | str] = []
        theirs: list[RunFolder | str] = []
        test, images, evidence = "", 0, None
        entry, progress = self.entry, self.progress
        trained = [side for side in (self.base, self.candidate) if side.spec is not None]
        with progress:
            if trained:
                up_to = f"{self.candidate.name} against {self.base.name}, up to {entry.most} seeds"
                progress.start(entry.most * len(trained), up_to)
            # Where all runs are there, there is nothing to save by looking early.
            for seeds in range(FEWEST, entry.most + 1) if trained else [entry.most]:
                ours += self._runs(self.base, range(len(ours), seeds))
                if failed := [one for one in ours if isinstance(one, str)]:
                    raise UserError(f"the baseline {self.base.name} has a run that failed: {failed[0]}")
                theirs += self._runs(self.candidate, range(len(theirs), seeds))
                if failed := [one for one in theirs if isinstance(one, str)]:
                    why = f"a run of it failed: {failed[0]}"
                    return Outcome("not better", why, tuple(looks), test, images, evidence)
                one, two, test = _scores(self.base, ours, self.candidate, theirs)
                images = 0 if one.right is None else one.right.shape[1]
                found = evidence_of(one, two)
                evidence = None if found is None else found[1]
                looks.append(self._look(one, two, test, seeds, bool(trained)))
                if trained:
                    progress.note(f"{seeds} seeds of each side: {look_in_words(looks[-1])}; {looks[-1].judged}")
                if looks[-1].judged != "open":
                    break
        verdict, why = _said(looks[-1], entry.most)
        return Outcome(verdict, why, tuple(looks), test, images, evidence)

    def _look(self, one: RowScores, two: RowScores, test: str, seeds: int, several: bool) -> GateLook:
        panel = [] if self.ledger is None else self.ledger.panel(test)
        level = self.entry.level * self.share
        return judge(compare_candidate(one, two, panel), self.entry.asked.by, seeds, self.entry.most, level, several)

    def _runs(self, side: Side, places: Iterable[int]) -> list[RunFolder | str]:
        """The runs of a side at these places of its seeds, trained where there is none; of one that failed, why."""
        return [_run(side, place, self.out, self.progress) for place in places]


def look_in_words(look: GateLook) -> str:
    """The gain that a look saw, and above what it lies: a bound below -100 says nothing, as scores end at 0 and 100."""
    if look.gain is None:
        return look.reason or "no gain can be told"
    at = f"at the {100 * look.level:.2g} % of this look"
    bound = f"above {signed(look.low)} {at}" if look.low is not None and look.low > -100 else f"no bound {at}"
    return f"gain {signed(look.gain)} points, {bound}"


def _said(look: GateLook, most: int) -> tuple[GateVerdict, str]:
    if look.judged == "better":
        return "better", "decided"
    if look.judged == "hopeless":
        return "not better", f"hopeless: not even a gain of one standard error more would pass at {most} seeds"
    return "undecided", look.reason or f"neither decided nor hopeless at {most} seeds"


def _run(side: Side, place: int, out: Path, progress: Progress) -> RunFolder | str:
    """The run of a side at the `place`-th of its seeds, trained if it is not there; why it failed, if it did."""
    if side.spec is None:
        return side.runs[place]
    spec = side.spec.model_copy(update={"seed": place})
    folder = run_folder_of(side.spec, side.identity, place, out)
    if folder.finished:
        progress.advance(1)
        return folder
    from levelfield.training import train

    inner = progress.inside(1)
    try:
        train(spec, folder.path, progress=inner)
    except UserError:
        if folder.exists() and state_of(folder)[0] == "failed":
            return f"seed {place}: {state_of(folder)[1]}"
        raise
    finally:
        inner.finish()
    return folder


def run_folder_of(spec: RunSpec, identity: str, seed: int, out: Path) -> RunFolder:
    """Where the run of a side at `seed` goes."""
    name = folder_name(f"{spec.model.name}-{identity[:8]}")
    return RunFolder(out / name / f"seed{seed}")


def _scores(
    base: Side, ours: Sequence[RunFolder | str], candidate: Side, theirs: Sequence[RunFolder | str]
) -> tuple[RowScores, RowScores, str]:
    """The scores of the two sides, each counted from seed 0, and a digest of the images that they were tested on."""
    rows = [
        Row(name=name, runs=tuple(run for run in runs if isinstance(run, RunFolder)))
        for name, runs in (("baseline", ours), ("candidate", theirs))
    ]
    read = [read_row(row) for row in rows]
    one, two = (each.finished[0].predictions() for each in read)
    if one is None or two is None:
        raise UserError("runs without predictions.parquet cannot be held against each other\ntrain them again")
    _, why = match(two, {"the baseline": one})
    if why:
        raise UserError(f"the two sides were not tested alike: {why}\nname the same data for both")
    found = scores_of_rows(read)
    paired = base.start is not None and base.start == candidate.start
    start = base.start if paired else None
    scores = [replace(found[row.name], start=start) for row in rows]
    return scores[0], scores[1], _digest(one)


def _digest(predictions: Predictions) -> str:
    order = predictions.index.argsort()
    content = predictions.index[order].tobytes() + predictions.label[order].tobytes()
    return hashlib.sha256(content).hexdigest()[:16]
