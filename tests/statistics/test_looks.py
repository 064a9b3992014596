"""Several looks at a growing table: what each may spend, what stays decided, and which pairs a look may decide."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from levelfield.statistics import ALPHA, Comparison, Difference, RowScores, Verdict, compare_rows, verdict
from levelfield.statistics.comparison import Earlier
from levelfield.statistics.looks import Look, compare_at_looks, further_share, plan_of_looks

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

SPREAD = (-0.3, 0.1, 0.25, -0.1, 0.05, 0.2, -0.2, 0.0)


def rows(**levels: float) -> dict[str, RowScores]:
    """Rows of eight seeds, each moved a little otherwise."""
    return {
        name: RowScores({seed: level + SPREAD[(seed + 3 * place) % 8] for seed in range(8)})
        for place, (name, level) in enumerate(levels.items())
    }


def look(share: float, **seeds: int) -> Look:
    return Look({name: tuple(range(n)) for name, n in seeds.items()}, share, asked=max(seeds.values()))


def decisions(comparison: Comparison) -> dict[tuple[str, str], Verdict]:
    return {(pair.a, pair.b): verdict(pair) for pair in comparison.pairs if pair.different or pair.equivalent}


def agrees(pair: Difference) -> bool:
    """Whether interval, adjusted p and verdict say the same."""
    if pair.low is None or pair.high is None or pair.p_adjusted is None:
        return not pair.different
    return pair.different == (not pair.low <= 0 <= pair.high) == (pair.p_adjusted <= ALPHA)


@pytest.mark.parametrize("most", [3, 4, 5, 7, 10, 20, 50])
def test_a_plan_spends_the_level_once_and_ends_where_it_should(most: int) -> None:
    plan = plan_of_looks(most)
    assert math.isclose(sum(share for _, share in plan), 1.0)
    assert [n for n, _ in plan] == sorted({n for n, _ in plan}) and plan[0][0] == 3 and plan[-1][0] == most
    shares = [share for _, share in plan]
    assert shares == sorted(shares)


def test_looks_that_nobody_planned_spend_less_than_the_level_again() -> None:
    looks = [Look({}, 1.0)]
    for _ in range(30):
        looks.append(Look({}, further_share(looks)))
    assert [one.share for one in looks[1:4]] == [0.5, 0.25, 0.125]
    assert sum(one.share for one in looks) < 2


def test_without_looks_it_is_one_at_all_runs() -> None:
    found = rows(base=80.0, better=82.0, equal=80.1)
    assert compare_at_looks(found, None, "base") == compare_rows(found, "base")


def test_declared_steps_weigh_at_every_look_as_at_one() -> None:
    of, steps = rows(a=80.0, b=81.0, c=83.0, d=84.0), [("d", "c")]
    at_one = compare_rows(of, "a", steps=steps)
    assert compare_at_looks(of, None, "a", steps=steps) == at_one
    at_looks = compare_at_looks(of, (look(1.0, a=8, b=8, c=8, d=8),), "a", steps=steps)
    assert [(pair.a, pair.b) for pair in at_looks.pairs] == [(pair.a, pair.b) for pair in at_one.pairs]
    step, plain = at_looks.between("d", "c"), compare_at_looks(of, None, "a").between("d", "c")
    assert step == at_one.between("d", "c")
    assert step is not None and plain is not None and step.seeds_for != () and plain.seeds_for == ()


def test_what_was_decided_stands_as_it_was_and_a_stopped_row_is_not_decided_again() -> None:
    found = rows(base=80.0, far=85.0, near=80.4, mid=80.9)
    one, two = look(0.2, base=5, far=5, near=5, mid=5), look(0.8, base=8, near=8, mid=8)
    first = compare_at_looks(found, [one], "base", beside=False)
    assert decisions(first)[("far", "base")] == "better" and ("near", "base") not in decisions(first)
    both = compare_at_looks(found, [one, two], "base", beside=False)
    assert both.between("far", "base") == first.between("far", "base")
    assert both.between("far", "base").runs == (5, 5)  # type: ignore[union-attr]
    assert both.between("near", "base").runs == (8, 8)  # type: ignore[union-attr]
    # A pair with a row that was stopped stands as at the last look that both took part in.
    for name in ("near", "mid"):
        assert both.between("far", name) == first.between("far", name)
    assert both.spent == pytest.approx(ALPHA) and first.spent == pytest.approx(0.2 * ALPHA)
    assert all(agrees(pair) for pair in both.pairs)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_looks_interval_p_and_verdict_of_a_pair_agree(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = rows(**{f"row{i}": 80.0 + float(gap) for i, gap in enumerate(rng.choice([0, 0.2, 0.5, 1.0, 4.0], 5))})
    looks, taking = [], list(found)
    for n in (4, 6, 8):
        looks.append(look(1 / 3, **dict.fromkeys(taking, n)))
        whole = compare_at_looks(found, looks, "row0")
        assert len(whole.pairs) == 10 and all(agrees(pair) for pair in whole.pairs)
        assert all(pair.elsewhere is None or pair.own is not None for pair in whole.pairs)
        taking = [name for name in taking if rng.random() < 0.7]
        if len(taking) < 2:
            break
    # As they stood they stay, whatever is made of the table afterwards: another baseline, another seed, a row less.
    kept = [replace(one, pairs=()) for one in looks[:-1]] + [replace(looks[-1], pairs=whole.pairs)]
    fewer = {name: replace(row, by_seed=dict(list(row.by_seed.items())[:3])) for name, row in found.items()}
    for other in (found, fewer, dict(list(found.items())[:4])):
        again = compare_at_looks(other, kept, "row1")
        for pair in whole.pairs:
            if pair.pair <= set(other):
                stood = again.between(pair.a, pair.b)
                assert stood is not None
                for one in ("estimate", "low", "high", "runs", "different", "equivalent", "p_adjusted", "level"):
                    assert getattr(stood, one) == getattr(pair, one)
        assert all(agrees(pair) for pair in again.pairs)


def test_what_stands_beside_a_decision_spends_its_share_too() -> None:
    found = {name: replace(row, right=np.ones((8, 50), dtype=np.bool_)) for name, row in rows(a=80.0, b=82.0).items()}
    for row in found.values():
        assert row.right is not None
        row.right[np.arange(8), np.arange(8)] = False
    whole = compare_at_looks(found, None, "a").pairs[0]
    part = compare_at_looks(found, [look(0.25, a=8, b=8)], "a").pairs[0]
    for one, two in ((whole.own, part.own), (whole.elsewhere, part.elsewhere)):
        assert one is not None and two is not None and one.p_adjusted is not None
        assert two.p_adjusted == pytest.approx(min(1.0, 4 * one.p_adjusted))


def test_a_look_decides_at_its_share_of_the_level() -> None:
    found = rows(base=80.0, other=80.55)
    p = compare_rows(found, "base").pairs[0].p
    assert p is not None and p < ALPHA
    enough = 1.01 * p / ALPHA
    for share, decided in ((enough, True), (0.98 * enough, False)):
        one = compare_at_looks(found, [look(share, base=8, other=8)], "base", beside=False)
        assert one.pairs[0].different is decided


def test_before_the_first_look_and_between_rows_that_none_saw_nothing_is_decided() -> None:
    found = rows(base=80.0, far=95.0, late=99.0)
    for looks in ([], [look(1.0, base=8, far=8)]):
        table = compare_at_looks(found, looks, "base", beside=False)
        pair = table.between("late", "base")
        assert pair is not None and pair.estimate == pytest.approx(19.0, abs=0.5)
        assert (pair.low, pair.p_adjusted, verdict(pair)) == (None, None, "undecided")
        assert "no look has seen" in pair.reason
        assert bool(decisions(table)) == bool(looks)


def test_earlier_decisions_are_found_whichever_way_round() -> None:
    pair = compare_rows(rows(base=80.0, far=85.0), "base").pairs[0]
    earlier = Earlier({("far", "base"): pair})
    turned = earlier.of("base", "far")
    assert earlier.of("far", "base") is pair
    assert turned is not None and pair.estimate is not None and turned.estimate == -pair.estimate


def test_the_benchmark_decides_as_the_product_does() -> None:
    from decisions_until import KINDS, ROWS, first, row, until_decided

    gaps = np.array([0.0, 0.0, 0.0, 0.3, 0.5, 1.0, 1.0, 2.0, 3.0, 5.0])
    grown = [row(KINDS["equal variances"], 80.0 + gap, 5, np.random.default_rng([7, i])) for i, gap in enumerate(gaps)]
    names = [f"row {i}" for i in range(ROWS)]
    looks: list[Look] = []
    taking = set(names)
    for seeds, share in plan_of_looks(5):
        looks.append(Look({name: tuple(range(seeds)) for name in names if name in taking}, share, asked=seeds))
        held = dict(zip(names, [first(one, seeds) for one in grown], strict=True))
        found = compare_at_looks(held, looks, "row 0", beside=False)
        open_ = {name for name in names[1:] if (name, "row 0") not in decisions(found)}
        taking = open_ | ({"row 0"} if open_ else set())
    runs = sum(max(len(one.seeds.get(name, ())) for one in looks) for name in names)
    told = until_decided(grown, gaps, 5)
    assert (told.runs, told.decided) == (runs, 9 - len(open_))
    assert 9 > told.decided > 3
