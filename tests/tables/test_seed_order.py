"""Runs that are not independent draws: alike in the order of their seeds, left out, or of one start."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from planted import audited, restate, rows_of, write

from levelfield.runs import Predictions, write_predictions
from levelfield.tables import Row
from levelfield.tables.audit import AuditReport
from levelfield.tables.audit.checks.seed_order import LEVEL, most_alike, neighbours_alike
from synthetic_runs import spec_of

IMAGES = 400


def drifting(n: int, correlation: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """`n` scores, each correlated so with the one before."""
    found = rng.standard_normal(n)
    for i in range(1, n):
        found[i] = correlation * found[i - 1] + (1 - correlation**2) ** 0.5 * found[i]
    return found


def accused(rows: int, n: int, correlation: float, tables: int, seed: int) -> float:
    """The share of tables in which neighbouring seeds are found alike."""
    rng = np.random.default_rng(seed)
    found = 0
    for _ in range(tables):
        scores = [drifting(n, correlation, rng) for _ in range(rows)]
        found += neighbours_alike([(one[:, None] - one) ** 2 for one in scores]) <= LEVEL
    return found / tables


@pytest.mark.parametrize(("rows", "n"), [(1, 10), (4, 5), (10, 3)])
def test_independent_runs_are_hardly_ever_accused(rows: int, n: int) -> None:
    assert accused(rows, n, 0.0, 300, rows) <= 0.02


def test_runs_that_drift_are_found() -> None:
    assert accused(10, 10, 0.7, 30, 0) > 0.9


@pytest.mark.parametrize(("runs", "least"), [((3,), 1 / 3), ((3, 3), 1 / 9), ((5,), 1 / 60), ((10, 10), 1 / 4000)])
def test_so_few_runs_have_so_few_orders(runs: Sequence[int], least: float) -> None:
    assert most_alike([np.ones((n, n)) for n in runs]) == pytest.approx(least)


def right_images(kind: str, n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which of IMAGES images each run has right, about half: of its own, or nine tenths those of the run before."""
    own = rng.random((n, IMAGES)) < 0.5
    if kind == "carried over":
        for i in range(1, n):
            own[i] = np.where(rng.random(IMAGES) < 0.9, own[i - 1], own[i])
    return own


def rows_with(folder: Path, kind: str, seeds: Sequence[int], rows: int = 2) -> list[Row]:
    rng = np.random.default_rng(3)
    found = []
    for name in "abcdef"[:rows]:
        runs = []
        for seed, right in zip(seeds, right_images(kind, len(seeds), rng), strict=True):
            runs.append(write(folder / name / f"seed{seed}", spec_of("resnet_mini", seed)))
            label = np.arange(IMAGES) % 10
            p = np.full((IMAGES, 10), 0.05, dtype=np.float32)
            p[np.arange(IMAGES), np.where(right, label, (label + 1) % 10)] = 0.55
            p += rng.uniform(0, 0.01, p.shape).astype(np.float32)
            place = folder / name / f"seed{seed}"
            write_predictions(
                place / "predictions.parquet", Predictions(np.arange(IMAGES), label, p / p.sum(1)[:, None])
            )
            restate(place)
        found.append(Row(name, runs=tuple(runs)))
    return found


def said(report: AuditReport, check: str) -> list[tuple[str, str]]:
    return [(finding.severity, finding.text) for finding in report.findings if finding.check == check]


def test_images_that_are_carried_over_from_seed_to_seed_are_found(tmp_path: Path) -> None:
    report = audited(rows_with(tmp_path, "carried over", range(6)))
    ((severity, text),) = said(report, "seed_order")
    assert severity == "unfair" and text.startswith(
        "The wrong images of runs of neighbouring seeds resemble each other"
    )
    (found,) = [finding for finding in report.unfair if finding.check == "seed_order"]
    assert set(found.rows) == {"a", "b"}


def test_independent_runs_pass_and_it_is_said_what_was_looked_at(tmp_path: Path) -> None:
    ((severity, text),) = said(audited(rows_with(tmp_path, "own", range(6))), "seed_order")
    assert (severity, text) == (
        "passed",
        "scores and wrong images of 2 rows show no likeness between neighbouring seeds",
    )


@pytest.mark.parametrize(("seeds", "says"), [(range(3), "so few runs cannot show it"), (range(2), "no row has three")])
def test_what_cannot_show_is_not_called_passed(tmp_path: Path, seeds: range, says: str) -> None:
    ((severity, text),) = said(audited(rows_with(tmp_path, "carried over", seeds)), "seed_order")
    assert severity == "unchecked" and says in text


def test_without_predictions_only_scores_are_looked_at(tmp_path: Path) -> None:
    rows = rows_with(tmp_path, "own", range(6))
    for row in rows:
        (row.runs[0].path / "predictions.parquet").unlink()
    ((severity, text),) = said(audited(rows), "seed_order")
    assert (severity, text) == ("passed", "scores of 2 rows show no likeness between neighbouring seeds")


def test_seeds_that_a_row_lacks_below_its_highest(tmp_path: Path) -> None:
    a, b = rows_with(tmp_path, "own", range(6))
    kept = Row("b", runs=tuple(run for run in b.runs if run.spec().seed in (0, 3, 5)))
    ((severity, text),) = said(audited([a, kept]), "chosen_seeds")
    assert severity == "differs" and text.startswith("b has runs of higher seeds") and "seeds 1, 2 and 4" in text
    fewer = Row("b", runs=b.runs[:3])
    failed = Row("b", runs=kept.runs, failures={1: "out of memory", 2: "loss is not finite", 4: "killed"})
    for sound in (b, fewer, failed):
        ((severity, _),) = said(audited([a, sound]), "chosen_seeds")
        assert severity == "passed"


def test_runs_of_one_start_are_mentioned(tmp_path: Path) -> None:
    start = {"model__start_from": {"source": "weights.safetensors", "digest": "ab" * 32}}
    rows = rows_of(tmp_path, base=start, odd=start)
    ((severity, text),) = said(audited(rows), "one_start")
    assert severity == "differs" and "start from one set of weights" in text
    assert said(audited(rows_of(tmp_path / "scratch")), "one_start") == []
