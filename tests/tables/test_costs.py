"""Time and memory of a table's networks come from profiles that can be trusted, and from nowhere else."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from levelfield.errors import UserError
from levelfield.page.charts.trade_offs import trade_offs
from levelfield.page.page import page
from levelfield.page.sections.all_scores import all_scores
from levelfield.runs import write_json
from levelfield.studies.results.merge import merge_folders
from levelfield.studies.results.pick import pick
from levelfield.tables import StudyRows
from levelfield.tables.cost_columns import COSTS, MEASURED
from levelfield.tables.make_table import build_table
from levelfield.tables.table import StudyTable
from levelfield.tables.text.columns import cells
from levelfield.tables.text.footnotes import footnotes
from levelfield.tables.text.records import records

Profiles = Callable[..., dict[str, Any]]


def profiled(two_rows: StudyRows, profiles: Profiles, **changes: Any) -> StudyTable:
    first, second = (row.name for row in two_rows.rows)
    assert two_rows.path is not None
    write_json(two_rows.path / COSTS, [profiles(first, 2100, 210), profiles(second, 3400, 150, **changes)])
    return build_table(two_rows)


def test_what_runs_say_of_cost_is_not_shown(two_rows: StudyRows, profiles: Profiles) -> None:
    table = build_table(two_rows)
    assert all(not set(MEASURED) & set(row.means) for row in table.rows)
    assert [line["images_per_s"] for line in records(table)] == [None, None]
    assert [line[10] for line in cells(table)[1]] == ["–", "–"]
    costs = [chart.key for chart in trade_offs(table.rows, table.measured, "p")]
    assert costs == ["p-macs", "p-params"]
    assert any("not measured (levelfield profile --study two --into FOLDER" in line for line in footnotes(table))
    text = page(table)
    assert "1,271" not in text and "peak memory" not in text
    with pytest.raises(UserError, match="levelfield profile --study two"):
        pick(table, {"mem_peak_mib": 2000.0})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "levelfield profile --study two --into FOLDER"),
        ({"source": "my tables/two.yaml"}, "levelfield profile --study 'my tables/two.yaml' --into FOLDER"),
        (
            {"source": "two.yaml", "scale": "smoke", "plugins": ("mine.py",)},
            "levelfield profile --study two.yaml --scale smoke --plugin mine.py --into FOLDER",
        ),
        ({"source": "two", "scale": "full"}, "levelfield profile --study two --into FOLDER"),
    ],
)
def test_the_command_that_measures_names_the_study_as_it_was_asked_for(
    two_rows: StudyRows, changes: dict[str, Any], said: str
) -> None:
    table = build_table(replace(two_rows, **changes))
    assert f"({said}," in table.costs
    with pytest.raises(UserError, match=re.escape(said)):
        pick(table, {"mem_peak_mib": 2000.0})


def test_a_profile_at_rest_is_shown(two_rows: StudyRows, profiles: Profiles) -> None:
    table = profiled(two_rows, profiles)
    assert [row.means["images_per_s"] for row in table.rows] == [2100, 3400]
    assert table.rows[0].means["ms_per_batch_q1"] < table.rows[0].means["ms_per_batch"]
    charted = [chart.key for chart in trade_offs(table.rows, table.measured, "p")]
    assert charted == ["p-macs", "p-params", "p-mem_peak_mib", "p-images_per_s"]
    chosen = pick(table, {"mem_peak_mib": 200.0})
    assert chosen.best.name == "convnext_mini" and "over 200" in chosen.left_out["outgrid_nano"]
    said = " ".join(footnotes(table))
    assert "Example CPU (cpu, fp32, batch 64, 2 threads)" in said and "Left empty" not in said


@pytest.mark.parametrize(
    "changes",
    [
        {"resting": False, "busy_percent": 40.0},
        {"resting": False, "busy_percent": None},
        {"noisy": True},
        {"model": "another"},
        {"classes": 100},
        {"image_size": 64},
        {"options": {"width": 2}},
        {"dtype": "bf16"},
        {"device": "cuda:0"},
        {"threads": 4},
        {"compiled": True},
    ],
)
def test_what_cannot_be_trusted_or_is_of_something_else_stays_empty(
    two_rows: StudyRows, profiles: Profiles, changes: dict[str, Any]
) -> None:
    table = profiled(two_rows, profiles, **changes)
    assert table.rows[0].means["images_per_s"] == 2100
    assert not set(MEASURED) & set(table.rows[1].means)
    assert "p-images_per_s" not in [chart.key for chart in trade_offs(table.rows, table.measured, "p")]
    assert "MiB not measured" in pick(table, {"mem_peak_mib": 300.0}).left_out["convnext_mini"]


def test_pick_says_which_rows_have_no_run_that_counts(two_rows: StudyRows) -> None:
    first, second = two_rows.rows
    stale = "stale, not counted: seed 0 (a run of another version)"
    table = build_table(replace(two_rows, rows=(first, replace(second, runs=(), notes=(stale,)))))
    with pytest.raises(UserError) as caught:
        pick(table, {"macs": 1e9}, [second.name])
    assert str(caught.value) == f"{second.name}: no finished run yet ({stale})\nlevelfield study run {two_rows.name}"
    with pytest.raises(UserError, match=f"did you mean '{first.name}'"):
        pick(table, {"macs": 1e9}, [first.name + "x"])
    none = build_table(replace(two_rows, rows=tuple(replace(row, runs=()) for row in two_rows.rows), command="do it"))
    with pytest.raises(UserError, match=f"study {two_rows.name}: no finished run yet\ndo it"):
        pick(none, {"macs": 1e9})


def test_a_profile_of_before_machines_were_looked_at_is_not_trusted(two_rows: StudyRows, profiles: Profiles) -> None:
    assert two_rows.path is not None
    old = profiles("outgrid_nano", 2100, 210)
    del old["resting"]
    write_json(two_rows.path / COSTS, [old])
    assert "images_per_s" not in build_table(two_rows).rows[0].means


def test_a_damaged_file_is_named(two_rows: StudyRows, profiles: Profiles) -> None:
    assert two_rows.path is not None
    (two_rows.path / COSTS).write_text("{")
    with pytest.raises(UserError, match=r"costs\.json cannot be read"):
        build_table(two_rows)


def test_the_committed_results_hold_no_cost_that_a_run_measured() -> None:
    results = Path(__file__).parents[2] / "results"
    false = {"images_per_s", "ms_per_batch", "mem_peak_mib"}
    found = sorted(results.rglob("result.json"))
    assert found
    assert [path for path in found if false & json.loads(path.read_text()).keys()] == []


def test_costs_come_along_when_a_folder_is_moved(two_rows: StudyRows, profiles: Profiles, tmp_path: Path) -> None:
    profiled(two_rows, profiles)
    assert two_rows.path is not None
    moved = tmp_path / "moved"
    shutil.copytree(two_rows.path, moved, ignore=shutil.ignore_patterns("moved"))
    assert build_table(replace(two_rows, path=moved)).rows[0].means["mem_peak_mib"] == 210


def test_merging_takes_costs_along_and_joins_no_two(profiles: Profiles, tmp_path: Path) -> None:
    for name, speed in (("mine", 2100), ("theirs", 9900)):
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / "study.json", {"name": "two", "scale": "", "rows": [], "failures": {}})
        write_json(tmp_path / name / COSTS, [profiles("outgrid_nano", speed, 210)])
    merge_folders([tmp_path / "mine", tmp_path / "theirs"], tmp_path / "joined", compact=True)
    (kept,) = json.loads((tmp_path / "joined" / COSTS).read_text())
    assert kept["throughput"]["images_per_s"] == 2100


def test_the_page_shows_quartiles(two_rows: StudyRows, profiles: Profiles) -> None:
    table = profiled(two_rows, profiles, noisy=True)
    shown = all_scores(table, {})
    assert shown is not None
    assert "30.5 [29.5, 31.5]" in shown.body and "18.8" not in shown.body
