"""Where learning curves cross: simulated ones whose true crossing is known, rows that are not compared, open ends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from test_curves_of_studies import SEEDS, late, shown, steady, study_of

from levelfield.analysis.crossings import crossings
from levelfield.analysis.curves import curves
from levelfield.analysis.run_curves import PanelCurves, RowCurves, RunCurve
from levelfield.analysis.studied_rows import StudiedRow, studied

Runs = list[list[float]]
"""The top-1 of a row by seed and epoch."""


def panel(
    rows: dict[str, Runs], metric: str = "val_top1", failed: Mapping[str, tuple[int, ...]] = MappingProxyType({})
) -> PanelCurves:
    return PanelCurves(
        "images",
        metric,
        tuple(
            RowCurves(
                StudiedRow(name, name, "images", None, (), failed.get(name, ())),
                tuple(
                    RunCurve(seed, tuple(range(1, len(top1) + 1)), tuple(top1), None, None, None)
                    for seed, top1 in enumerate(runs)
                ),
            )
            for name, runs in rows.items()
        ),
        {},
    )


def of(a: Runs, b: Runs, **how: Any) -> dict[str, Any]:
    (row,) = crossings(panel({"a": a, "b": b}, **how), "b")["rows"]
    assert isinstance(row, dict)
    return row


def seeds(curve: list[float], apart: float = 0.1, count: int = 3) -> Runs:
    return [[top1 + apart * seed for top1 in curve] for seed in range(count)]


def test_the_last_crossing_lies_where_the_means_cross_between_epochs_that_tell_a_lead() -> None:
    row = of(seeds([10, 20, 30, 40, 50]), seeds([2, 14, 30.05, 46, 58], 0.2))
    # +8, +6, −0.05, −6, −8 but 0.1 for the seeds: means 7.9, 5.9, −0.15, −6.1, −8.1
    assert row["at"] == pytest.approx(2 + 5.9 / 6.05)
    assert (row["low"], row["high"]) == (2, 4)
    assert (row["before"], row["after"], row["ahead"], row["epochs"], row["no_interval"]) == ("a", "b", 3, 5, "")


def test_of_several_crossings_the_last_counts() -> None:
    row = of(seeds([1, 9, 9, 1, 9]), seeds([5, 5, 5, 5, 5], 0.05))
    assert row["at"] == pytest.approx(4.5, abs=0.02)
    assert (row["low"], row["high"], row["before"], row["after"]) == (4, 5, "b", "a")


def test_a_lead_throughout_is_no_crossing() -> None:
    row = of(seeds([11, 21, 31]), seeds([10, 20, 30]))
    assert (row["at"], row["before"], row["after"], row["ahead"], row["epochs"]) == (None, "a", "a", 3, 3)


def test_a_mean_that_falls_behind_by_what_seeds_do_is_no_crossing() -> None:
    """At epoch 4 the seeds lie ten points apart: the means differ by less than is told, and the lead is told again."""
    a: Runs = [[20, 30, 40, 40, 60], [20.1, 30.1, 40.1, 50, 60.1], [20.2, 30.2, 40.2, 48, 60.2]]
    row = of(a, seeds([10, 20, 30, 50, 50]))
    assert (row["at"], row["after"], row["ahead"], row["epochs"]) == (None, "a", 4, 5)


def test_a_lead_that_is_not_told_leaves_its_end_open() -> None:
    noisy: Runs = [[5, 12, 22, 30], [9, 13, 21, 36], [1, 11, 23, 33]]
    row = of(seeds([8, 16, 18, 32.5]), noisy)
    assert row["before"] == "a" and row["after"] == "b" and row["low"] == 2 and row["high"] == 3
    behind = of(seeds([8, 16, 16, 32.5]), [[5, 12, 17, 30.0], [9, 13, 21, 36], [1, 11, 13, 34]])
    assert (behind["before"], behind["after"], behind["low"], behind["high"]) == ("a", "b", 2, None)


@pytest.mark.parametrize("count", [1, 2])
def test_of_too_few_seeds_there_is_a_crossing_without_an_interval(count: int) -> None:
    row = of(seeds([10, 20, 30], count=count), seeds([5, 15, 40], 0.2, count=count))
    assert 2 < row["at"] < 3 and row["low"] is row["high"] is None
    assert f"too few seeds ({count})" in str(row["no_interval"])


def test_rows_of_other_epochs_failed_seeds_or_training_images_are_not_told() -> None:
    longer = of(seeds([10, 20, 30, 40]), seeds([5, 15, 40]))
    assert longer["said"] == "trained for other numbers of epochs (4) than b (3)" and longer["at"] is None
    failed = of(seeds([10, 20, 30]), seeds([5, 15, 40]), failed={"a": (3,)})
    assert failed["said"] == "seed 3 of a failed in training" and failed["after"] is None
    same = of(seeds([10, 20, 30]), seeds([10, 20, 30]))
    assert same["said"] == "equal at every epoch"
    told = crossings(panel({"a": seeds([1, 2]), "b": seeds([2, 1])}, "train_top1"), "b")
    assert told["rows"] == [] and "only train_top1" in told["said"]


@pytest.mark.parametrize("noise", [(0.3, 0.0), (0.3, 0.3), (0.1, 0.6)], ids=["of seeds", "of both", "of epochs"])
@pytest.mark.parametrize("slope", [0.1, 0.3])
def test_intervals_hold_the_true_crossing_as_often_as_they_say(noise: tuple[float, float], slope: float) -> None:
    """Thirty epochs, five seeds, a true crossing after 12.4: a bootstrap over seeds holds it in 38 to 85 %."""
    rng, epochs, tried, held = np.random.default_rng(0), np.arange(1, 31), 150, 0
    for _ in range(tried):
        offsets = rng.normal(0, noise[0], (2, 5, 1)) + rng.normal(0, noise[1], (2, 5, 30))
        b, a = 50 + offsets
        row = of((a + slope * (epochs - 12.4)).tolist(), b.tolist())
        low, high = row["low"], row["high"]
        held += (low is None or low < 12.4) and (high is None or high > 12.4)
    assert held / tried > 0.88  # 95 %, less what 150 tries and thirty looks take


def test_the_study_says_where_its_rows_cross(tmp_path: Path) -> None:
    answer = curves(studied(study_of(tmp_path, {"resnet_mini": steady, "vit_mini": late})))
    (row,) = answer["panels"][0]["crossings"]["rows"]
    assert (row["row"], row["before"], row["after"], row["low"], row["high"]) == (
        "vit_mini", "resnet_mini", "vit_mini", 7, 8,
    )  # fmt: skip
    behind = 80 + 0.5 * 1.5 - 20 - 0.4 * 1.5  # after seven epochs, seed by seed half a point and two fifths apart
    assert row["at"] == pytest.approx(7 + behind / (behind + 98 - 85 - 0.1 * 1.5), abs=0.05) and SEEDS == 4
    html = shown(tmp_path, answer)
    assert 'id="analysis-curves-crossings-0"' in html and f"<td>{row['at']:.1f} [7, 8]</td>" in html


def test_of_one_seed_the_page_says_why_there_is_no_interval(tmp_path: Path) -> None:
    study_of(tmp_path, {"resnet_mini": steady, "vit_mini": late})
    for seed in range(1, SEEDS):
        for model in ("resnet_mini", "vit_mini"):
            rmtree(tmp_path / model / f"seed{seed}")
    html = shown(tmp_path, curves(studied(tmp_path)))
    assert "<td>7.8 (no interval)</td>" in html and "vit_mini: too few seeds (1)" in html


def test_an_answer_of_before_has_no_table_of_crossings(tmp_path: Path) -> None:
    answer = curves(studied(study_of(tmp_path, {"resnet_mini": steady, "vit_mini": late})))
    del answer["panels"][0]["crossings"]
    assert "analysis-curves-crossings" not in shown(tmp_path, answer)
