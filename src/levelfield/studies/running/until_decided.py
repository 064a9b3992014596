"""Runs only where they decide: rounds of seeds for the rows of which the study's question is still open.

The looks are fixed beforehand: so many seeds a row at each, and what each may spend (`statistics.looks`). After a round
the table is looked at, and what that decided is kept in looks.json; rows whose comparisons are decided get no more
seeds, and all others get equally many. A folder whose table had been seen before goes on at the same numbers of seeds,
but spends beside what was spent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from levelfield.errors import UserError
from levelfield.statistics.looks import FEWEST, further_share, plan_of_looks
from levelfield.studies.declared.planned_runs import PlannedRow
from levelfield.studies.results.looks_at_table import make_look, open_rows
from levelfield.tables.looks import Looks, read_looks, write_looks
from levelfield.tables.rows import StudyRows, one_per_training
from levelfield.tables.runs_of_row import read_row
from levelfield.tables.verdict_rule import VerdictRule

MOST: Final = 10
"""Seeds a row at the last look, unless it is said otherwise."""
SWEPT: Final = 1000
"""The seed on which sweeps choose settings, and no study judges."""


@dataclass(frozen=True)
class UntilDecided:
    """Up to `most` seeds a row (None: what the folder's looks were planned for, else MOST)."""

    most: int | None = None


def check_free(until: UntilDecided | None, seeds: object, only: Sequence[str]) -> None:
    """Raise UserError where rows or seeds are chosen that a study run until it is decided chooses itself."""
    if until is not None and (seeds is not None or only):
        raise UserError("a study run until it is decided chooses rows and seeds itself\nleave --row and --seeds away")


def seeds_up_to(count: int, usual: Sequence[int]) -> tuple[int, ...]:
    """The first `count` seeds of a row: the study's own, then those that follow its highest."""
    more = (seed for seed in range(max(usual, default=-1) + 1, SWEPT + count + 2) if seed != SWEPT)
    return (*usual, *more)[:count]


def settle_looks(out: Path, until: UntilDecided, margin: float, verdict: VerdictRule) -> Looks:
    """The looks that were made at the study in `out`, with their plan; where there is none, one by `margin`, `verdict`.

    Raises UserError where `until` asks for other looks than they were planned for: that would be one more choice made
    after the results were seen. A plan by which nobody has looked yet binds nobody.
    """
    kept, most = read_looks(out), until.most
    if most is not None and most < FEWEST:
        raise UserError(f"--max-seeds {most} is too few: the first look is at {FEWEST} seeds a row")
    if kept is None or not kept.looks:
        return Looks((), margin, verdict, {}, most or (kept and kept.most) or MOST)
    if most is not None and kept.most is not None and most != kept.most:
        raise UserError(
            f"the looks at {out} were planned with --max-seeds {kept.most}, not {most}\n"
            "leave --max-seeds away, or choose another folder with --out"
        )
    return replace(kept, most=kept.most or most or MOST)


class Rounds:
    """The rounds of a study in `out` whose seeds are `usual`: each is carried out, then looked at, by
    `margin` and `verdict`."""

    def __init__(
        self, out: Path, until: UntilDecided, usual: Sequence[int], margin: float, verdict: VerdictRule
    ) -> None:
        self.out, self.usual = out, usual
        self.looks = settle_looks(out, until, margin, verdict)
        write_looks(out, self.looks)  # before the first run: a table that is looked at by a plan was never seen whole

    def next(self, rows: StudyRows) -> dict[str, tuple[int, ...]]:
        """The seeds of each row that takes part in the next round, of `rows` as they are now; empty at the end."""
        seen = max((look.most for look in self.looks.looks), default=0)
        left = [(n, share) for n, share in plan_of_looks(self.looks.most or MOST) if n > seen]
        lines = one_per_training(rows.rows)
        taking = {row.name for row in lines} if not self.looks.looks else set(open_rows(rows))
        if not left:
            return {}
        self.asked, self.share = left[0]
        seeds = seeds_up_to(self.asked, self.usual)
        if not all(look.planned for look in self.looks.looks):
            self.asked, self.share = 0, further_share(self.looks.looks)
        return {name: seeds for line in lines if line.name in taking and line.declared for name in line.names}

    def look(self, rows: StudyRows, seeds: Mapping[str, Sequence[int]]) -> None:
        """Look at `rows`, of which those in `seeds` took part in the round."""
        others = {row.name: range(len(read_row(row).finished)) for row in rows.rows if row.predictions}
        self.looks = make_look(rows, self.looks, self.share, self.out, {**seeds, **others}, asked=self.asked)


def joined_seeds(
    before: Mapping[str, tuple[int, ...]], now: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    """The seeds of each row that are asked for `now` or were before."""
    return {row: tuple(sorted({*before.get(row, ()), *now.get(row, ())})) for row in (*before, *now)}


def with_first_stages(rows: Sequence[PlannedRow], seeds: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """`seeds` by row, with those that the rows whose weights they take need for it."""
    needed = {row.name: seeds.get(row.name, ()) for row in rows}

    def ask(row: PlannedRow, wanted: tuple[int, ...]) -> None:
        for before in row.before.values():
            needed[before.name] = tuple(sorted({*needed[before.name], *wanted}))
            ask(before, wanted)

    for row in rows:
        ask(row, needed[row.name])
    return needed
