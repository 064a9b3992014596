"""How often the rules that could decide a table are wrong, and how often they find what is there: simulated studies.

    python benchmarks/decisions.py [--studies 2000] [--jobs 2] [--only PATTERN] [--corpus FILE] [--json FILE]

Every run of a simulated study has its own test images right or wrong: each image with its own probability, which is
that of its row, moved by what is common to a run. The rules stand side by side on the same studies: `model-assisted`
decides (`levelfield.statistics`), `welch` takes each row's own variance, `paired` is the paired t of levelfield's first
tables. All go through the same weighted Holm procedure. A cell's rate is printed with its Monte-Carlo error.

Real nulls come from a corpus of trainings (benchmarks/overdispersion.py): rows of one test set, their seeds drawn
without repeats, moved to one mean.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtr

from levelfield.statistics import RowScores, holm
from levelfield.statistics.choose_test import PairTests
from levelfield.statistics.comparison import family_weights
from levelfield.statistics.variance import RowEvidence, RowVariances

Floats = NDArray[np.float64]
RULES: Final = ("model-assisted", "welch", "paired")
SPREAD: Final = (0.4, 2.5)
MIDDLE: Final = (0.3, 0.7)
"""Between which the probabilities of uncertain images lie."""


@dataclass(frozen=True)
class World:
    """How runs vary. `sd`: of a row's score over seeds, in points. `overdispersion`: its variance over that of its
    flips. `kind`: what is special (see `KINDS`). `gap`: by how many points the last row is better than all others.
    """

    rows: int
    seeds: int
    kind: str = "equal variances"
    images: int = 10_000
    sd: float = 0.3
    overdispersion: float = 5.0
    gap: float = 0.0


KINDS: Final[dict[str, str]] = {
    "equal variances": "all rows vary alike",
    "sds spread 0.4 to 2.5": "what is common to a run differs between rows, flips do not",
    "flips spread 0.4 to 2.5": "flips and what is common to a run differ between rows alike",
    "noisy row": "one row varies five times as much, its flips do not tell",
    "noisy baseline": "the baseline varies five times as much, its flips do not tell",
    "heavy tails": "what is common to a run is t(3)",
    "skewed": "what is common to a run has a long tail down",
    "collapsed runs": "5 % of the runs end at 1 to 60 %",
    "seed effect": "half of what is common to a run is shared by the rows' runs of one seed",
    "hardly more than flips": "overdispersion 1.1 in all rows",
    "far more than flips": "overdispersion 40 in all rows",
}


def study(world: World, rng: np.random.Generator) -> dict[str, RowScores]:
    """The runs of one simulated study; row 0 is the baseline."""
    total, flips = _variances(world, rng)
    common = _common(world, rng)
    found = {}
    for i in range(world.rows):
        uncertain = max(1, min(world.images, round(flips[i] * 1e-4 * world.images**2 / flip_of_one())))
        flip = 1e4 * uncertain * flip_of_one() / world.images**2
        chance = rng.uniform(*MIDDLE, uncertain)
        moved = common[i] * math.sqrt(max(total[i] - flip, 0.0)) / 100 * world.images / uncertain
        sure = min(max(round(0.8 * world.images - 0.5 * uncertain), 0), world.images - uncertain)
        right = np.zeros((world.seeds, world.images), dtype=np.bool_)
        right[:, :uncertain] = rng.random((world.seeds, uncertain)) < chance + moved[:, None]
        right[:, uncertain : uncertain + sure] = True
        if world.kind == "collapsed runs":
            for run in np.flatnonzero(rng.random(world.seeds) < 0.05):
                right[run] = rng.random(world.images) < rng.uniform(0.01, 0.6)
        level = world.gap if i == world.rows - 1 else 0.0
        # Which images are uncertain differs between rows; their true means on these images are moved to one place.
        expected = 100 * (float(chance.sum()) + sure) / world.images
        scores = 100 * right.mean(1) - expected + 80.0 + level
        found[f"row {i}"] = RowScores(dict(enumerate(scores.tolist())), right)
    return found


def flip_of_one() -> float:
    """Mean of p (1 - p) over uncertain images."""
    low, high = MIDDLE
    return (low + high) / 2 - (high**3 - low**3) / (3 * (high - low))


def _variances(world: World, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Of each row's score over seeds, and the part of it that is flips (percent squared)."""
    total = np.full(world.rows, world.sd**2)
    over = {"hardly more than flips": 1.1, "far more than flips": 40.0}.get(world.kind, world.overdispersion)
    flips = total / over
    factors = np.exp(rng.uniform(math.log(SPREAD[0]), math.log(SPREAD[1]), world.rows)) ** 2
    if world.kind == "flips spread 0.4 to 2.5":
        return total * factors, flips * factors
    if world.kind == "sds spread 0.4 to 2.5":
        total = total * factors
        flips = np.minimum(flips, total / 1.05)
    elif world.kind == "noisy row":
        total[-1] *= 25
    elif world.kind == "noisy baseline":
        total[0] *= 25
    return total, flips


def _common(world: World, rng: np.random.Generator) -> Floats:
    """(rows, seeds): what is common to the images of a run, with mean 0 and variance 1."""
    shape = (world.rows, world.seeds)
    if world.kind == "heavy tails":
        return rng.standard_t(3, shape) / math.sqrt(3)
    if world.kind == "skewed":
        return -(rng.gamma(2.0, 1.0, shape) - 2.0) / math.sqrt(2)
    own: Floats = rng.standard_normal(shape)
    if world.kind == "seed effect":
        return math.sqrt(0.5) * own + math.sqrt(0.5) * rng.standard_normal((1, world.seeds))
    return own


def pairs_of(rows: int) -> list[tuple[int, int]]:
    """With the baseline first, then all others."""
    return [(i, 0) for i in range(1, rows)] + [(i, j) for i in range(1, rows) for j in range(1, i)]


def rejected(p: Floats, rows: int, alpha: float = 0.05) -> NDArray[np.bool_]:
    return holm(p, family_weights(rows - 1, len(p) - rows + 1), alpha).rejected


def p_values(found: Mapping[str, RowScores]) -> dict[str, Floats]:
    """By rule: of all pairs. The same as `PairTests.here(..).p`, for all pairs at once (see `checked`)."""
    variances = PairTests(found).variances
    assert variances is not None
    scores = np.array([row.scores for row in found.values()])
    a, b = np.array(pairs_of(len(scores))).T
    return {
        "model-assisted": assisted_p(variances, a, b),
        "welch": welch_p(scores, a, b),
        "paired": paired_p(scores, a, b),
    }


def assisted_p(
    variances: RowVariances, a: NDArray[np.int64], b: NDArray[np.int64], gap: Floats | None = None
) -> Floats:
    """Two-sided p of the differences of rows `a` and `b` (P,), or of other distances `gap` (P,)."""
    joint = np.matmul((variances.weight[:, None] * variances.posterior)[a].transpose(0, 2, 1), variances.posterior[b])
    share = variances.variance / variances.n[:, None]
    error = np.sqrt(share[a][:, :, None] + share[b][:, None, :])
    gap = variances.mean[a] - variances.mean[b] if gap is None else gap
    found: Floats = 2 * (joint * ndtr(-np.abs(gap)[:, None, None] / error)).sum((1, 2))
    return found


def welch_p(scores: Floats, a: NDArray[np.int64], b: NDArray[np.int64]) -> Floats:
    found: Floats = stats.ttest_ind(scores[a], scores[b], axis=1, equal_var=False).pvalue
    return np.nan_to_num(found, nan=1.0)


def paired_p(scores: Floats, a: NDArray[np.int64], b: NDArray[np.int64]) -> Floats:
    found: Floats = stats.ttest_rel(scores[a], scores[b], axis=1).pvalue
    return np.nan_to_num(found, nan=1.0)


def checked(found: Mapping[str, RowScores], p: Mapping[str, Floats]) -> None:
    """That what is simulated is what levelfield decides."""
    names, tests = list(found), PairTests(found)
    for place, (i, j) in enumerate(pairs_of(len(names))):
        test = tests.here(names[i], names[j])
        if test.deviation is not None and abs(test.p - p["model-assisted"][place]) > 1e-9:
            raise SystemExit("the rule simulated here is no longer the one that decides")


@dataclass(frozen=True)
class Rate:
    """Share in percent, over `studies`: of tables with any false claim, or (with a gap) of studies that found it."""

    world: World
    rule: str
    rate: float
    error: float
    studies: int


def cell(world: World, studies: int, seed: int = 2026) -> list[Rate]:
    """The rates of all rules on the same studies."""
    rng = np.random.default_rng([seed, world.rows, world.seeds, sorted(KINDS).index(world.kind), world.images])
    hits = dict.fromkeys(RULES, 0)
    for number in range(studies):
        found = study(world, rng)
        p = p_values(found)
        if number == 0:
            checked(found, p)
        for rule, values in p.items():
            decided = rejected(values, world.rows)
            hits[rule] += bool(decided[world.rows - 2]) if world.gap else bool(decided.any())
    return [_rate(world, rule, count, studies) for rule, count in hits.items()]


def _rate(world: World, rule: str, count: int, studies: int) -> Rate:
    share = count / studies
    return Rate(world, rule, 100 * share, 100 * math.sqrt(max(share * (1 - share), 1 / studies) / studies), studies)


def false_claims() -> Iterator[World]:
    """The cells in which no row truly differs."""
    for rows in (2, 4, 10, 16):
        for seeds in (2, 3, 5, 10):
            for kind in KINDS:
                yield World(rows, seeds, kind)
            yield World(rows, seeds, images=449, sd=1.5)


def power() -> Iterator[World]:
    """The cells in which the last of ten rows is a point better."""
    for seeds, sd in ((3, 0.3), (5, 0.3), (5, 0.5)):
        for overdispersion in (1.5, 5.0, 15.0):
            yield World(10, seeds, sd=sd, overdispersion=overdispersion, gap=1.0)


def equivalence(world: World, studies: int, margin: float = 0.5, seed: int = 2026) -> dict[str, float]:
    """Of rows that are truly `world.gap` apart: the share in percent of studies in which the last row is called
    equivalent to the baseline, and that of tables in which any row is."""
    rng = np.random.default_rng([seed, world.rows, world.seeds, 99])
    last = any_ = 0
    a, b = np.array(pairs_of(world.rows)).T
    for _ in range(studies):
        variances = PairTests(study(world, rng)).variances
        assert variances is not None
        inside = margin - np.abs(variances.mean[a] - variances.mean[b])
        half = 0.5 * assisted_p(variances, a, b, inside)
        decided = rejected(np.where(inside > 0, half, 1 - half), world.rows)
        last += bool(decided[world.rows - 2])
        any_ += bool(decided.any())
    return {"last row": 100 * last / studies, "any pair": 100 * any_ / studies}


def real_nulls(corpus: list[dict[str, Any]], rows: int, seeds: int, studies: int, seed: int = 2026) -> list[Rate]:
    """Tables of real rows of one test set that are moved to one mean.

    Moving `n` seeds to their own mean would take away 1 / n of their variance, so a draw that all of a row's runs share
    gives it back. `corpus`: rows with `set`, `images`, `scores` (S,) and `disagreements` (S, S), in images.
    """
    rng = np.random.default_rng([seed, rows, seeds, 7])
    sets: dict[str, list[dict[str, Any]]] = {}
    for row in corpus:
        if len(row["scores"]) >= seeds:
            sets.setdefault(row["set"], []).append(row)
    large = [members for members in sets.values() if len(members) >= rows]
    if not large:
        return []
    hits = dict.fromkeys(RULES, 0)
    a, b = np.array(pairs_of(rows)).T
    for _ in range(studies):
        members = large[rng.integers(len(large))]
        chosen = [members[i] for i in rng.permutation(len(members))[:rows]]
        evidence = [_drawn(row, seeds, rng) for row in chosen]
        scores = np.array([one.scores for one in evidence])
        variances = RowVariances(evidence, chosen[0]["images"])
        p = {
            "model-assisted": assisted_p(variances, a, b),
            "welch": welch_p(scores, a, b),
            "paired": paired_p(scores, a, b),
        }
        for rule, values in p.items():
            hits[rule] += bool(rejected(values, rows).any())
    world = World(rows, seeds, "real rows", 0, 0.0, 0.0)
    return [_rate(world, rule, count, studies) for rule, count in hits.items()]


UNEQUAL: Final = ((3, 10), (3, 10, 10, 10), (3, *[10] * 9), (10, 3), (10, *[3] * 9), (5, *[10] * 9), (3, 5, 5, 5))
"""Seeds of the rows of a table, the baseline's first; the row of the first number is the noisy one."""


def unequal(seeds: tuple[int, ...], studies: int, seed: int = 2026) -> float:
    """Share in percent of tables with a false claim where rows have so many `seeds` and the baseline varies five times
    as much as the others, which its flips do not tell."""
    rng = np.random.default_rng([seed, *seeds, 11])
    a, b = np.array(pairs_of(len(seeds))).T
    hits = 0
    for _ in range(studies):
        whole = study(World(len(seeds), max(seeds), "noisy baseline"), rng)
        rows = {name: _first(row, n) for (name, row), n in zip(whole.items(), seeds, strict=True)}
        variances = PairTests(rows).variances
        assert variances is not None
        hits += bool(rejected(assisted_p(variances, a, b), len(seeds)).any())
    return 100 * hits / studies


def _first(row: RowScores, seeds: int) -> RowScores:
    assert row.right is not None
    return RowScores({seed: row.by_seed[seed] for seed in range(seeds)}, row.right[:seeds])


def on_a_sample(rows: int, seeds: int, rng: np.random.Generator, images: int = 10_000) -> dict[str, RowScores]:
    """Rows that are equally good on all images of a kind, tested on a sample of them.

    Each row finds other images hard: it has an image right with chance 0.02, 0.5 or 0.98, drawn for row and image. So
    the rows' true means over this sample differ (by about 0.5 points), as rows of different families do.
    """
    found = {}
    for i in range(rows):
        chance = rng.choice([0.02, 0.5, 0.98], images, p=[0.16, 0.06, 0.78])
        drift = 0.0027 * images / (chance == 0.5).sum() * rng.standard_normal((seeds, 1))
        right = rng.random((seeds, images)) < np.where(chance == 0.5, chance + drift, chance)
        found[f"row {i}"] = RowScores(dict(enumerate((100 * right.mean(1)).tolist())), right)
    return found


def elsewhere(rows: int, seeds: int, studies: int, seed: int = 2026) -> dict[str, float]:
    """Shares in percent of tables of `on_a_sample` that claim a difference on the test set at hand (there may be one),
    and on other images of the same kind (there is none)."""
    rng = np.random.default_rng([seed, rows, seeds, 5])
    here = there = 0
    for _ in range(studies):
        found = on_a_sample(rows, seeds, rng)
        names, tests = list(found), PairTests(found)
        others = [tests.elsewhere(names[i], names[j]) for i, j in pairs_of(rows)]
        here += bool(rejected(p_values(found)["model-assisted"], rows).any())
        there += bool(rejected(np.array([1.0 if test is None else test.p for test in others]), rows).any())
    return {"on these images": 100 * here / studies, "on other images": 100 * there / studies}


def _drawn(row: dict[str, Any], seeds: int, rng: np.random.Generator) -> RowEvidence:
    """Of a row of the corpus: so many of its runs, with their flips."""
    scores = np.array(row["scores"])
    runs = rng.permutation(len(scores))[:seeds]
    shared = rng.standard_normal() * scores.std(ddof=1) / math.sqrt(len(scores))
    apart = np.array(row["disagreements"], dtype=np.float64)[np.ix_(runs, runs)]
    flips = 1e4 * apart.sum() / (seeds * (seeds - 1)) / 2 / row["images"] ** 2
    return RowEvidence(scores[runs] - scores.mean() + shared, float(flips))


def described(world: World) -> str:
    special = world.kind if world.images in (0, 10_000) else f"{world.kind}, {world.images} images"
    found = f"gap {world.gap:g}, sd {world.sd:g}, overdispersion {world.overdispersion:g}, " if world.gap else ""
    return f"{world.rows} rows, {world.seeds} seeds: {found}{special}"


def run_all(worlds: list[World], studies: int, jobs: int, said: Callable[[str], None]) -> list[Rate]:
    """All cells, `jobs` at once."""
    begun, found = time.monotonic(), []
    with ProcessPoolExecutor(jobs) as pool:
        for done, rates in enumerate(pool.map(cell, worlds, [studies] * len(worlds)), 1):
            found += rates
            left = (time.monotonic() - begun) / done * (len(worlds) - done)
            words = "   ".join(f"{rate.rule} {rate.rate:.1f} ± {rate.error:.1f}" for rate in rates)
            said(f"{described(rates[0].world)}: {words}   ({left / 60:.0f} min left)")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--studies", type=int, default=2000, help="simulated studies a cell")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--only", default="*", help="cells whose description matches this pattern")
    parser.add_argument(
        "--corpus", type=Path, help="rows of real trainings, as benchmarks/overdispersion.py writes them"
    )
    parser.add_argument("--json", type=Path, help="write all rates here")
    options = parser.parse_args()

    def said(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    worlds = [w for w in (*false_claims(), *power()) if fnmatch.fnmatch(described(w), options.only)]
    found = run_all(worlds, options.studies, options.jobs, said)
    if options.corpus is not None:
        rows = json.loads(options.corpus.read_text(encoding="utf-8"))["rows"]
        for count in (2, 4, 10):
            for seeds in (2, 3, 5, 10):
                for rate in (rates := real_nulls(rows, count, seeds, options.studies)):
                    said(f"{described(rate.world)}: {rate.rule} {rate.rate:.1f} ± {rate.error:.1f}")
                found += rates
    close = {}
    for rows_, gap in ((2, 0.0), (2, 0.5), (10, 0.0), (10, 0.5)):
        close[f"{rows_} rows, {gap:g} apart"] = equivalence(World(rows_, 10, gap=gap), options.studies)
        said(f"equivalent within 0.5, {rows_} rows, 10 seeds, {gap:g} apart: {close[f'{rows_} rows, {gap:g} apart']}")
    others = {}
    for rows_ in (2, 4, 10):
        for seeds in (3, 5, 10):
            others[f"{rows_} rows, {seeds} seeds"] = rates_ = elsewhere(rows_, seeds, options.studies // 4)
            said(f"equal on all images of a kind, {rows_} rows, {seeds} seeds: {rates_}")
    few = {}
    for seeds_ in UNEQUAL:
        name = ", ".join(map(str, seeds_))
        few[name] = unequal(seeds_, options.studies)
        said(f"noisy baseline, rows of {name} seeds: {few[name]:.1f}")
    if options.json is not None:
        content = {
            "rates": [asdict(rate) for rate in found],
            "equivalence": close,
            "other images": others,
            "unequal seeds": few,
        }
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
