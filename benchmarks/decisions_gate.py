"""How often `levelfield gate` keeps a change that is none, over 200 in a row, and how often it keeps a real one.

    python benchmarks/decisions_gate.py [--ledgers 400] [--jobs 1] [--json FILE]

All candidates of a ledger are compared with the same baseline's runs. Null candidates gain exactly `by`, the worst that
must not be kept. Real ones gain a point; they come 1st, 10th and 100th, after null candidates.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from typing import Final

import numpy as np

from grown_rows import KINDS, first, row
from levelfield.statistics import RowScores
from levelfield.statistics.gate import FEWEST, compare_candidate, evidence_of, judge, level_of_candidate
from levelfield.statistics.variance import RowEvidence

BY: Final = 0.2
GAIN: Final = 1.0
MOST: Final = 10
CANDIDATES: Final = 200
PLACES: Final = (1, 10, 100)


@dataclass(frozen=True)
class Trial:
    """How a candidate came out, after how many seeds, and what its runs leave for those that follow."""

    kept: bool
    seeds: int
    evidence: RowEvidence


def trial(base: RowScores, candidate: RowScores, number: int, panel: list[RowEvidence]) -> Trial:
    """A candidate tried as `levelfield gate --by 0.2` tries it."""
    for seeds in range(FEWEST, MOST + 1):
        one, two = first(base, seeds), first(candidate, seeds)
        judged = judge(compare_candidate(one, two, panel), BY, seeds, MOST, level_of_candidate(number)).judged
        if judged != "open":
            break
    evidence = evidence_of(one, two)
    assert evidence is not None
    return Trial(judged == "better", seeds, evidence[1])


@dataclass(frozen=True)
class Ledger:
    """Of one ledger: whether any null candidate was kept, the seeds of each of them; and by place, of a real candidate
    that came there: whether it was kept, and its seeds."""

    any_kept: bool
    null_seeds: float
    real: dict[int, tuple[bool, int]]


def ledger(seed: int, kind: str) -> Ledger:
    rng = np.random.default_rng([2026, sorted(KINDS).index(kind), seed])
    base = row(KINDS[kind], 80.0, MOST, rng)
    panel: list[RowEvidence] = []
    real, seeds, kept = {}, 0, False
    for number in range(1, CANDIDATES + 1):
        if number in PLACES:
            found = trial(base, row(KINDS[kind], 80.0 + GAIN, MOST, rng), number, panel)
            real[number] = (found.kept, found.seeds)
        null = trial(base, row(KINDS[kind], 80.0 + BY, MOST, rng), number, panel)
        panel.append(null.evidence)
        seeds, kept = seeds + null.seeds, kept or null.kept
    return Ledger(kept, seeds / CANDIDATES, real)


def rates(kind: str, ledgers: int, jobs: int) -> Iterator[dict[str, object]]:
    """The rates of one kind, printed as they come."""
    with ProcessPoolExecutor(jobs) as pool:
        found = list(pool.map(ledger, range(ledgers), repeat(kind), chunksize=4))
    yield {"kind": kind, "what": "any of 200 null candidates kept", **_rate([one.any_kept for one in found]),
           "mean seeds": float(np.mean([one.null_seeds for one in found]))}  # fmt: skip
    for place in PLACES:
        of_place = [one.real[place] for one in found]
        yield {"kind": kind, "what": f"gain of {GAIN:g} kept as candidate {place}", **_rate([k for k, _ in of_place]),
               "mean seeds": float(np.mean([s for _, s in of_place]))}  # fmt: skip


def _rate(hits: list[bool]) -> dict[str, float]:
    """In percent, with its Monte-Carlo error (of at least one hit)."""
    share, n = float(np.mean(hits)), len(hits)
    return {"rate": 100 * share, "error": 100 * math.sqrt(max(share * (1 - share), 1 / n) / n), "of": n}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--ledgers", type=int, default=400, help="simulated ledgers of each kind")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS), help="how runs vary")
    parser.add_argument("--json", type=Path, help="write all rates here")
    options = parser.parse_args()
    found = []
    for kind in options.kinds:
        print(f"{kind}: {asdict(KINDS[kind])}", file=sys.stderr, flush=True)
        for one in rates(kind, options.ledgers, options.jobs):
            found.append(one)
            print(
                f"  {one['what']}: {one['rate']:.1f} ± {one['error']:.1f} % of {one['of']:.0f}, "
                f"{one['mean seeds']:.1f} seeds a candidate",
                flush=True,
            )
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
