"""The study's folder: resumed to the same bytes, refused when it is another study's, drawn from what it holds."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

from levelfield.analysis.feature_ranks import rank_figure, rank_study
from levelfield.analysis.feature_ranks.random_networks import KINDS, Setting
from levelfield.analysis.feature_ranks.rank_study import Row, Study, read_rows, to_csv
from levelfield.analysis.feature_ranks.rank_study_plan import MAIN, Group, Plan, Point, sensitivity
from levelfield.errors import UserError

SMALL = Setting(d_out_min=4, d_out_max=8, map_side=4)
PLAN = Plan(groups={MAIN: Group(setting=SMALL, networks=6)}, ratios=(0.1, 0.5), nonlinearities=("linear", "ReLU"))


def without_times(rows: list[Row]) -> list[tuple[object, ...]]:
    return [(row.group, row.kind, row.nonlinearity, row.ratio, row.rank_over_d_out) for row in rows]


def run(folder: Path, plan: Plan, workers: int = 1) -> list[Row]:
    Study(folder, plan).run(workers, {}, lambda point: None)
    return read_rows(folder / "rank.csv")


def test_linear_curve_is_the_ratio_and_every_point_is_there() -> None:
    plan = PLAN.model_copy(update={"ratios": (0.5, 1.0)})
    rows = rank_study.measure(plan, Point(MAIN, "1x1", 0.5))
    linear = next(row for row in rows if row.nonlinearity == "linear")
    assert linear.rank_over_d_out == pytest.approx(linear.mean_ratio)
    assert len(plan.points()) == 8 and len(Plan().points()) == 40 and len(Plan().nonlinearities) == 8


def test_the_effective_rank_weighs_what_the_rank_only_counts() -> None:
    plan = Plan(groups={MAIN: Group(setting=Setting(), networks=8)}, nonlinearities=("linear", "ReLU"))
    rows = {row.nonlinearity: row for row in rank_study.measure(plan, Point(MAIN, "1x1", 0.5))}
    assert all(row.effective_rank_over_d_out < row.rank_over_d_out for row in rows.values())
    assert rows["ReLU"].rank_over_d_out == 1.0 and rows["ReLU"].effective_rank_over_d_out < 0.95
    assert rows["ReLU"].effective_standard_error == pytest.approx(rows["ReLU"].effective_standard_deviation / 8**0.5)


def test_an_interrupted_study_goes_on_to_the_same_rows(tmp_path: Path) -> None:
    whole = without_times(run(tmp_path / "whole", PLAN, workers=2))
    seen: list[Point] = []

    def interrupt(point: Point) -> None:
        seen.append(point)
        if len(seen) == 3:
            raise KeyboardInterrupt

    study = Study(tmp_path / "cut", PLAN)
    with pytest.raises(KeyboardInterrupt):
        study.run(1, {}, interrupt)
    kept = read_rows(tmp_path / "cut" / "rank.csv")
    assert 3 <= len(kept) / 2 < len(PLAN.points())
    resumed = Study(tmp_path / "cut", PLAN)
    again = resumed.pending()
    assert not set(again) & set(seen) and len(again) == len(PLAN.points()) - len(kept) // 2
    assert without_times(run(tmp_path / "cut", PLAN)) == whole
    assert Study(tmp_path / "cut", PLAN).pending() == []


def test_a_stop_ends_a_point_early() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(rank_study.StopRequested):
        rank_study.measure(PLAN, Point(MAIN, "1x1", 0.5), stop)


def test_another_plan_is_refused_and_more_groups_are_added(tmp_path: Path) -> None:
    run(tmp_path, PLAN)
    with pytest.raises(UserError, match="seed 0, not 1"):
        Study(tmp_path, PLAN.model_copy(update={"seed": 1}))
    other = Group(setting=SMALL.model_copy(update={"expansion": 2.0}), networks=6)
    with pytest.raises(UserError, match=re.escape("another setting of 'main'")):
        Study(tmp_path, PLAN.model_copy(update={"groups": {MAIN: other}}))
    more = Study(tmp_path, PLAN.model_copy(update={"groups": {"e2": other}}))
    assert {point.group for point in more.pending()} == {"e2"}
    assert list(more.plan.groups) == [MAIN, "e2"]


@pytest.mark.parametrize("text", ["group,kind\nmain,1x1\n", to_csv([]) + "main,1x1,ReLU,0.1,ten,0,0,0,0,0,0\n"])
def test_damaged_files_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "rank.csv").write_text(text)
    with pytest.raises(UserError, match=re.escape("rank.csv")):
        Study(tmp_path, PLAN)


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'SiLU'"):
        Plan.parse({"nonlinearities": ["silu"]})
    with pytest.raises(UserError, match="did you mean 'ib_3x3'"):
        Group.parse({"kinds": ["ib3x3"]})


def test_each_sensitivity_group_changes_the_setting_and_expected_time_covers_every_point() -> None:
    groups = sensitivity(Setting(), 10)
    assert len({group.setting for group in groups.values()}) == len(groups) and len(groups) >= 10
    assert all(group.setting != Setting() for group in groups.values())
    dense = {name for name, group in groups.items() if "ib_3x3" in group.kinds}
    assert dense == {"expansion 2", "expansion 4", "activation after the bottleneck"}
    expected = rank_study.expected_seconds(PLAN, PLAN.points(), 2)
    assert set(expected) == set(PLAN.points()) and min(expected.values()) > 0


def test_the_figure_has_a_panel_a_kind_and_a_curve_a_nonlinearity(tmp_path: Path) -> None:
    rows = run(tmp_path, PLAN)
    chart = rank_figure.panels(rows, MAIN, "Rank", SMALL.relative_tolerance)
    png, svg = rank_figure.save(chart, tmp_path / "rank")
    assert png.read_bytes().startswith(b"\x89PNG")
    drawn = svg.read_text()
    measures = ["rank / d_out (tolerance 3.6e-15)", "effective rank / d_out"]
    for text in [*KINDS.values(), "linear", "ReLU", "d_in / d_out", *measures]:
        assert text in drawn
    assert "SiLU" not in drawn
