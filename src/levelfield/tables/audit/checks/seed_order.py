"""Whether the runs of a row are draws of their own: not alike in the order of their seeds, not chosen, of no one start.

Every decision of a table takes a row's runs as independent. Runs that resemble the run of the seed before (a machine
that drifted, a state that was carried over) look steadier than they are. Two things tell: the scores of neighbours, and
on which images neighbours disagree. Both are held against the same runs in other orders, so no distribution is assumed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from levelfield.tables.audit.findings import AuditRow, Finding, Panel
from levelfield.tables.lists_in_words import counted, listed
from levelfield.tables.scores_of_rows import shared_starts

Floats = NDArray[np.float64]
LEVEL: Final = 0.005
"""Of each of the two tests: a table of independent runs is accused in at most 1 %."""
ORDERS: Final = 3999
"""Orders that are tried, beside the one of the seeds."""


def seed_order(panel: Panel) -> Iterable[Finding]:
    """Runs of neighbouring seeds must not resemble each other more than other runs of their row do."""
    rows = _one_per_start([row for row in panel.measured if len(row.own) > 2])
    if not rows:
        if any(len(row.own) > 1 for row in panel.measured):
            text = "Whether runs of neighbouring seeds resemble each other: no row has three runs."
            yield Finding("seed_order", "unchecked", text)
        return
    by_score = [_distances(np.array([float(run.result["top1"]) for run in row.own])) for row in rows]
    by_image = [found for row in rows if (found := _disagreements(row)) is not None]
    looked = []
    for apart, what in ((by_score, "scores"), (by_image, "wrong images")):
        if not apart or most_alike(apart) > LEVEL:
            continue
        p = neighbours_alike(apart)
        looked.append(what)
        if p <= LEVEL:
            text = f"The {what} of runs of neighbouring seeds resemble each other more than chance has it "
            text += f"(p {p:.2g}, over {counted(len(apart), 'row')}): the runs are not independent, and intervals and "
            yield Finding("seed_order", "unfair", f"{text}decisions are too sure.", tuple(row.name for row in rows))
            return
    if looked:
        text = f"{' and '.join(looked)} of {counted(len(rows), 'row')} show no likeness between neighbouring seeds"
        yield Finding("seed_order", "passed", text)
    else:
        text = "Whether runs of neighbouring seeds resemble each other: so few runs cannot show it."
        yield Finding("seed_order", "unchecked", text)


def neighbours_alike(apart: Sequence[Floats]) -> float:
    """p that neighbours are no more alike than other runs. `apart`: of each row, how far any two of its runs in the
    order of their seeds lie apart (n, n), n >= 3."""
    rng = np.random.default_rng(0)
    seen, drawn = 0.0, np.zeros(ORDERS)
    for matrix in apart:
        n = len(matrix)
        mean = matrix.sum() / (n * (n - 1))
        if mean <= 0:
            continue
        orders = rng.permuted(np.tile(np.arange(n), (ORDERS, 1)), axis=1)
        seen += float(np.diagonal(matrix, 1).sum()) / mean
        drawn += matrix[orders[:, :-1], orders[:, 1:]].sum(1) / mean
    return float((1 + (drawn <= seen + 1e-9).sum()) / (ORDERS + 1))


def most_alike(apart: Sequence[Floats]) -> float:
    """The smallest p that so many runs can reach: an order and its reverse are one, n! / 2 of them a row."""
    orders = 1.0
    for matrix in apart:
        orders *= float(np.prod(np.arange(3.0, len(matrix) + 1)))
    return max(1 / orders, 1 / (ORDERS + 1))


def _one_per_start(rows: Sequence[AuditRow]) -> list[AuditRow]:
    """Rows whose runs share what they started from say one thing together: the first of them is looked at."""
    starts = shared_starts([row.runs.row for row in rows])
    first: dict[str, AuditRow] = {}
    for row in rows:
        first.setdefault(starts.get(row.runs.row.name, row.runs.row.name), row)
    return list(first.values())


def _distances(scores: Floats) -> Floats:
    """Squares, as they are what a lag-one correlation is made of."""
    found: Floats = (scores[:, None] - scores) ** 2
    return found


def _disagreements(row: AuditRow) -> Floats | None:
    """On how many test images two runs disagree, one of them right; None where that is not known of all runs."""
    own = set(map(id, row.own))
    tested = [tested for run, tested in row.tested if id(run) in own]
    if any(one is None or one.which != tested[0].which for one in tested if tested[0] is not None) or not tested[0]:
        return None
    right = np.array([np.unpackbits(np.frombuffer(one.right, np.uint8)) for one in tested if one is not None])
    found: Floats = (right[:, None] != right).sum(2).astype(np.float64)
    return found


def chosen_seeds(panel: Panel) -> Iterable[Finding]:
    """Seeds that a row lacks below its highest, of which nothing says why: they may have been trained and left out."""
    gaps = {row.name: gap for row in panel.measured if row.own and (gap := _gap(row, panel))}
    for name, gap in gaps.items():
        seeds = f"seed{'s' if len(gap) > 1 else ''} {listed([str(seed) for seed in gap], 8)}"
        text = (
            f"{name} has runs of higher seeds, and other rows have {seeds}, of which nothing is said here: runs that "
        )
        yield Finding("chosen_seeds", "differs", f"{text}were trained and left out would be a choice.", (name,))
    rows = sum(bool(row.own) for row in panel.measured)
    if rows > 1 and not gaps:
        text = "no row lacks a seed below its highest that another has, without it being said why"
        yield Finding("chosen_seeds", "passed", text)


def _gap(row: AuditRow, panel: Panel) -> list[int]:
    own = {run.seed for run in row.own}
    others = {run.seed for _, run in panel.own}
    said = {run.spec().seed for run in row.runs.row.runs} | row.runs.row.failures.keys() | set(row.runs.row.planned)
    return sorted(seed for seed in others - own - said if seed < max(own))


def one_start(panel: Panel) -> Iterable[Finding]:
    """Rows all of whose runs start from one set of trained weights: their spread leaves that of the weights out."""
    shared = []
    for row in panel.measured:
        starts = {None if (start := run.spec.model.start_from) is None else start.digest for run in row.own}
        if len(row.own) > 1 and len(starts) == 1 and None not in starts:
            shared.append(row.name)
    if shared:
        text = (
            f"All runs of {listed(shared)} start from one set of weights: their spread over seeds, and what is decided "
        )
        yield Finding("one_start", "differs", f"{text}by it, is that of training on from these weights.", tuple(shared))
