"""A study over several data sets: its models ranked over them, in every form, and never averaged."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from levelfield.page.page import page
from levelfield.tables import Row, StudyRows, StudyTable, build_table
from levelfield.tables.foreign_scores import StatedRun, write_stated
from levelfield.tables.suite import suite_of
from levelfield.tables.text.json import to_json
from levelfield.tables.text.terminal import to_rich
from synthetic_runs import spec_of, write_run

SETS = tuple(f"set{i}" for i in range(6))
MODELS = {"resnet_mini": 4.6, "convnext_mini": 4.1, "vit_mini": 3.0}


def rows_over(folder: Path, sets: tuple[str, ...] = SETS, models: dict[str, float] = MODELS) -> list[Row]:
    """Every model on every set at two seeds, the sets of differing difficulty."""
    rows = []
    for number, data in enumerate(sets):
        for model, skill in models.items():
            runs = [
                write_run(folder / f"{model}-{data}" / f"seed{seed}", spec_of(model, seed, data), skill - 0.3 * number,
                          images=400)
                for seed in (0, 1)
            ]  # fmt: skip
            rows.append(Row(f"{model}-{data}", runs=tuple(runs)))
    return rows


def table_of(rows: list[Row]) -> StudyTable:
    return build_table(StudyRows("suite", tuple(rows)))


@pytest.fixture(scope="module")
def suite_table(tmp_path_factory: pytest.TempPathFactory) -> StudyTable:
    return table_of(rows_over(tmp_path_factory.mktemp("suite")))


def test_a_model_is_a_row_over_the_sets(suite_table: StudyTable) -> None:
    found = suite_of(suite_table)
    assert found is not None and found.sets == SETS and found.left_out == ()
    assert dict(found.ranking.ranks) == {"resnet_mini": 1.0, "convnext_mini": 2.0, "vit_mini": 3.0}
    (first, *_), *_ = found.lines()
    assert first == "resnet_mini"
    for name, rows in found.models.items():
        assert [row.name for row in rows] == [f"{name}-{data}" for data in SETS]
        assert found.runs[name] == [[run.result["top1"] for run in row.runs.finished] for row in rows]
    for model in MODELS:
        shares = [share for name, _, share in found.profiles() if name == model]
        assert all(np.diff(shares) <= 0) and shares[-1] == 0


def test_rows_of_one_set_stand_together_under_its_name(tmp_path: Path) -> None:
    rows = rows_over(tmp_path, SETS[:2])
    by_model = [row for model in MODELS for row in rows if row.name.startswith(model)]  # as a study lists models x sets
    console = Console(width=100, record=True, file=StringIO())
    console.print(to_rich(table_of(by_model)))
    first = [line.split()[0] for line in console.export_text().splitlines() if line.strip()]
    first = first[first.index("row") :]  # below the answer
    together = [f"{model}-{data}" for data in SETS[:2] for model in MODELS]
    shown = [word for word in first if word in {*SETS, *together}]
    assert shown[:8] == ["set0", *together[:3], "set1", *together[3:]]


def test_every_form_says_it_and_none_an_average_of_accuracies(suite_table: StudyTable) -> None:
    found = to_json(suite_table)["suite"]
    assert json.loads(json.dumps(found))["average_ranks"]["vit_mini"] == 3.0
    assert found["sets"] == list(SETS) and len(found["pairs"]) == 3
    console = Console(width=80, record=True, file=StringIO())
    console.print(to_rich(suite_table))
    said = console.export_text()
    assert "average rank" in said and max(map(len, said.splitlines())) <= 80
    html = page(suite_table)
    for name in ('id="suite"', 'id="suite-ranks"', 'id="suite-profiles"', "probability of improvement"):
        assert name in html
    for model in MODELS:
        mean = np.mean([row.top1.value for row in suite_table.rows if row.name.startswith(model) and row.top1])
        assert f"{mean:.2f}" not in said


def test_what_is_no_suite_has_none(tmp_path: Path) -> None:
    assert suite_of(table_of(rows_over(tmp_path / "one", SETS[:1]))) is None
    assert suite_of(table_of(rows_over(tmp_path / "alone", SETS[:2], {"vit_mini": 3.0}))) is None
    rows = rows_over(tmp_path / "twice", SETS[:2])
    twice = [*rows, Row("again", runs=rows[0].runs[:1])]
    assert suite_of(table_of(twice)) is None
    said = "not ranked over the 2 data sets: resnet_mini has 2 rows on set0 (again and resnet_mini-set0)."
    assert said in " ".join(to_json(table_of(twice))["basis"])


def test_a_model_without_a_result_on_some_set_is_left_out_and_named(tmp_path: Path) -> None:
    found = suite_of(table_of(rows_over(tmp_path, SETS[:3])[:-1]))
    assert (
        found is not None and found.left_out == ("vit_mini",) and set(found.models) == {"resnet_mini", "convnext_mini"}
    )
    said = " ".join(found.in_words())
    assert (
        "without a result on every set: vit_mini" in said
        and "3 data sets cannot decide a pair of 2 models at 5 %, whatever they show: 6 can" in said
    )


def test_where_fewer_than_two_models_have_all_sets_it_is_said_that_none_are_ranked(tmp_path: Path) -> None:
    rows = rows_over(tmp_path, SETS[:3], {"resnet_mini": 4.6, "vit_mini": 3.0})
    table = table_of(rows[:-1])
    said = "Models are not ranked over the 3 data sets: only resnet_mini has a result on each of them."
    assert suite_of(table) is None and said in to_json(table)["basis"]
    assert not [line for line in to_json(table_of(rows))["basis"] if "not ranked" in line]
    apart = [row for row in rows if row.name in ("resnet_mini-set0", "vit_mini-set1")]
    assert not [line for line in to_json(table_of(apart))["basis"] if "not ranked" in line]


def test_rows_of_somebody_else_are_named_as_not_in_it(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    write_stated(tmp_path / "theirs" / "scores.csv", [StatedRun("0", 80.0, data="set0")])
    theirs = Row("theirs", predictions=(tmp_path / "theirs" / "scores.csv",))
    found = suite_of(table_of([*rows_over(tmp_path, SETS[:2]), theirs]))
    assert found is not None and set(found.models) == set(MODELS)
    assert "Not in it, as their models are not known here: theirs." in found.in_words()


def test_single_runs_show_no_interval_and_say_so(tmp_path: Path) -> None:
    rows = [Row(row.name, runs=row.runs[:1]) for row in rows_over(tmp_path, SETS[:2])]
    found = suite_of(table_of(rows))
    assert found is not None and {line[2] for line in found.pair_lines()} == {"–"}
    assert "Pairs have no interval over seeds" in " ".join(found.in_words())
    assert found.as_json()["pairs"][0]["low"] is None


@pytest.mark.parametrize(
    ("options", "titles"),
    [
        ({"a": {"width": 0.25}, "b": {"width": 0.25}}, ["resnet_mini", "vit_mini"]),
        ({"a": {"width": 0.25}, "c": {"width": 0.5}}, ["resnet_mini; width 0.25", "resnet_mini; width 0.5"]),
        (
            {"a": {"width": 0.25}, "c": {"depths": [1, 2]}},
            ["resnet_mini; depths not set; width 0.25", "resnet_mini; depths 1, 2; width not set"],
        ),
    ],
)
def test_a_model_is_named_by_what_tells_it_from_others(
    options: dict[str, dict[str, object]], titles: list[str], tmp_path: Path
) -> None:
    rows = []
    for name, chosen in options.items():
        for data in SETS[:2]:
            spec = spec_of("vit_mini" if name == "b" else "resnet_mini", 0, data, model__options=chosen)
            rows.append(Row(f"{name}-{data}", runs=(write_run(tmp_path / f"{name}-{data}", spec, images=200),)))
    found = suite_of(table_of(rows))
    assert found is not None and set(found.models) == set(titles)
