"""What `study run --until decided` saves: simulated studies that grow by looks, beside fixed designs of equal power.

    python benchmarks/decisions_until.py [--studies 500] [--jobs 1] [--json FILE]

Ten rows whose true scores lie as far above the first row's, the baseline's, as MIXTURES say. Power is the mean share of
the nine comparisons with the baseline that are decided, to be different or to be equivalent. The fixed design of equal
power lies between two numbers of seeds a row; runs are interpolated. False tables are those with a claim of a
difference between rows that are equal, or of equivalence between rows that are a margin or more apart.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from decisions import pairs_of
from grown_rows import KINDS, first, row
from levelfield.statistics import MARGIN, RowScores, holm
from levelfield.statistics.choose_test import PairTests
from levelfield.statistics.comparison import family_weights
from levelfield.statistics.looks import plan_of_looks

ROWS: Final = 10
MIXTURES: Final = {
    "no gap at all": (0.0,) * 9,
    "many small gaps": (0.0, 0.0, 0.3, 0.5, 1.0, 1.0, 2.0, 3.0, 5.0),
    "many large gaps": (0.0, 0.5, 1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 5.0),
}
LIMITS: Final = (10, 20)
FIXED: Final = (3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20)
"""Seeds a row of the fixed designs; where no row differs only the last, as there is no power to be told."""
Bools = NDArray[np.bool_]
PAIRS: Final = pairs_of(ROWS)
WEIGHTS: Final = family_weights(ROWS - 1, len(PAIRS) - ROWS + 1)


@dataclass(frozen=True)
class Study:
    """How one study ended: runs, comparisons of nine decided, and whether it made a false claim of either kind."""

    runs: int
    decided: int
    false_difference: bool
    false_equivalence: bool


def values(rows: list[RowScores]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of every pair: p that they are equal, and p that they are a margin or more apart."""
    tests = PairTests({f"row {i}": one for i, one in enumerate(rows)})
    found = [tests.here(f"row {i}", f"row {j}") for i, j in PAIRS]
    return np.array([one.p for one in found]), np.array([one.p_farther(MARGIN) for one in found])


def ended(gaps: NDArray[np.float64], different: Bools, close: Bools, runs: int) -> Study:
    apart = np.array([abs(gaps[i] - gaps[j]) for i, j in PAIRS])
    decided = int((different | close)[: ROWS - 1].sum())
    return Study(runs, decided, bool((different & (apart == 0)).any()), bool((close & (apart >= MARGIN)).any()))


def fixed(rows: list[RowScores], gaps: NDArray[np.float64], seeds: int) -> Study:
    p, farther = values([first(one, seeds) for one in rows])
    different, close = holm(p, WEIGHTS).rejected, holm(farther, WEIGHTS).rejected
    return ended(gaps, different, close, seeds * ROWS)


def until_decided(rows: list[RowScores], gaps: NDArray[np.float64], most: int) -> Study:
    """As `statistics.looks.compare_at_looks` decides (tests/statistics/test_looks.py holds the two together)."""
    different, close = np.zeros(len(PAIRS), dtype=np.bool_), np.zeros(len(PAIRS), dtype=np.bool_)
    taking, held = np.ones(ROWS, dtype=np.bool_), np.zeros(ROWS, dtype=np.int64)
    for seeds, share in plan_of_looks(most):
        held[taking] = seeds
        p, farther = values([first(one, int(n)) for one, n in zip(rows, held, strict=True)])
        before = different | close
        may = np.array([taking[i] and taking[j] for i, j in PAIRS]) & ~before
        now = [
            holm(np.where(said, 0.0, np.where(may, one, 1.0)), WEIGHTS, 0.05 * share).rejected
            for said, one in ((different, p), (close, farther))
        ]
        different, close = now[0], now[1]
        open_ = ~(different | close)[: ROWS - 1]
        taking = np.concatenate([[open_.any()], open_])
        if not taking.any():
            break
    return ended(gaps, different, close, int(held.sum()))


def study(seed: int, kind: str, mixture: str) -> dict[str, Study]:
    """One simulated study by every design."""
    rng = np.random.default_rng([2026, sorted(KINDS).index(kind), list(MIXTURES).index(mixture), seed])
    gaps = np.array([0.0, *MIXTURES[mixture]])
    rows = [row(KINDS[kind], 80.0 + gap, max(LIMITS), rng) for gap in gaps]
    found = {f"fixed {n}": fixed(rows, gaps, n) for n in (FIXED if gaps.any() else FIXED[-1:])}
    return found | {f"until {most}": until_decided(rows, gaps, most) for most in LIMITS}


def table(kind: str, mixture: str, studies: int, jobs: int) -> list[dict[str, object]]:
    """A line for each design."""
    with ProcessPoolExecutor(jobs) as pool:
        found = list(pool.map(study, range(studies), repeat(kind), repeat(mixture), chunksize=4))
    lines = []
    for design in found[0]:
        of = [one[design] for one in found]
        lines.append({
            "kind": kind, "mixture": mixture, "design": design, "studies": studies,
            "runs": float(np.mean([one.runs for one in of])),
            "power": 100 * float(np.mean([one.decided for one in of])) / (ROWS - 1),
            "false difference": 100 * float(np.mean([one.false_difference for one in of])),
            "false equivalence": 100 * float(np.mean([one.false_equivalence for one in of])),
        })  # fmt: skip
    designs = [line for line in lines if line["design"].startswith("fixed")]
    power = np.maximum.accumulate([line["power"] for line in designs])
    for line in lines:
        if line["design"].startswith("until") and len(designs) > 1:
            line["of a fixed design's runs"] = 100 * line["runs"] / float(
                np.interp(line["power"], power, [one["runs"] for one in designs])
            )  # fmt: skip
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--studies", type=int, default=500, help="simulated studies of each kind and mixture")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--kinds", nargs="+", default=["equal variances"], choices=list(KINDS), help="how runs vary")
    parser.add_argument("--mixtures", nargs="+", default=list(MIXTURES), choices=list(MIXTURES), help="true gaps")
    parser.add_argument("--json", type=Path, help="write all figures here")
    options = parser.parse_args()
    found = []
    for kind in options.kinds:
        for mixture in options.mixtures:
            print(f"{kind}, {mixture}: {MIXTURES[mixture]}", file=sys.stderr, flush=True)
            for line in table(kind, mixture, options.studies, options.jobs):
                found.append(line)
                error = 100 * math.sqrt(0.05 * 0.95 / options.studies)
                text = "{design:>9}: {runs:6.1f} runs, {power:5.1f} % decided, false {false difference:4.1f} and "
                text += "{false equivalence:4.1f} % (a true 5 % lies within "
                said = text.format(**line) + f"{2 * error:.1f} of it)"
                share = line.get("of a fixed design's runs")
                print(said + ("" if share is None else f"; {share:.0f} % of the runs of a fixed design"), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
