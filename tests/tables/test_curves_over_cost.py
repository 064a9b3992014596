"""A study of networks at several sizes and lengths: its curves, in every form."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from levelfield.page.page import page
from levelfield.statistics.cost_curve import cost_curve
from levelfield.statistics.iso_cost import Crossing, IsoCost, Stretch
from levelfield.statistics.power_law import EXPONENTS, WITH_A_FLOOR, PowerLaw
from levelfield.tables import Row, StudyRows, StudyTable, build_table
from levelfield.tables.read_folder import read_study
from levelfield.tables.scaling import Line, OnCost, ScalingOf, costs_of_row, scaling_of
from levelfield.tables.text.json import to_json
from levelfield.tables.text.scaling import law_lines, verdict_words
from levelfield.tables.text.terminal import to_rich
from synthetic_runs import spec_of, write_run

WIDTHS = (0.5, 1.0, 2.0)
SKILLS = {"resnet_mini": (3.0, 3.9, 4.6), "vit_mini": (2.0, 2.7, 3.4)}


def rows_of(folder: Path, seeds: int = 3, epochs: tuple[int, ...] = (12,), data: str = "cifar10") -> list[Row]:
    rows = []
    for model, skills in SKILLS.items():
        for width, skill in zip(WIDTHS, skills, strict=True):
            for length in epochs:
                name = f"{model}-w{width:g}-e{length}" + ("" if data == "cifar10" else f"-{data}")
                cost = (1e5 * width**2, 1e6 * width**2, 1000, 100)
                better = skill + 0.02 * length
                runs = [
                    write_run(folder / name / f"seed{seed}", spec_of(
                        model, seed, data, model__options={"width_factor": width}, budget={"epochs": length}
                    ), better, cost, images=600)
                    for seed in range(seeds)
                ]  # fmt: skip
                rows.append(Row(name, runs=tuple(runs)))
    return rows


def table_of(rows: list[Row], **more: object) -> StudyTable:
    curves = {model: tuple(row.name for row in rows if row.name.startswith(model)) for model in SKILLS}
    return build_table(StudyRows("scale", tuple(rows), curves=curves, **more))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> StudyTable:
    return table_of(rows_of(tmp_path_factory.mktemp("scale"), epochs=(3, 12)), extrapolate=4.0)


def test_curves_are_those_in_which_one_factor_varies(grid: StudyTable) -> None:
    (found,) = scaling_of(grid)
    by = {(on.factor, on.cost): on for on in found.on}
    assert set(by) == {("width", "params"), ("width", "macs"), ("epochs", "images_seen")}
    width = {line.name: [row.name for row in line.rows] for line in by["width", "macs"].lines}
    assert width["vit_mini"] == ["vit_mini-w0.5-e12", "vit_mini-w1-e12", "vit_mini-w2-e12"]
    length = {line.name: [row.name for row in line.rows] for line in by["epochs", "images_seen"].lines}
    assert length["resnet_mini"] == ["resnet_mini-w1-e3", "resnet_mini-w1-e12"]
    assert by["width", "macs"].lines[0].curve.costs == pytest.approx([0.25e6, 1e6, 4e6])
    pair = by["width", "macs"].pairs["resnet_mini", "vit_mini"]
    assert pair.throughout == "a" and pair.ratio[2] < 1
    line = by["width", "macs"].lines[0]
    for row, cost in zip(line.rows, line.curve.costs, strict=True):
        assert row.top1 is not None
        value = next(top1 for at, top1, *_ in line.band() if at == pytest.approx(cost))
        assert value == pytest.approx(row.top1.value, abs=1e-6)
    assert line.ahead is not None and line.ahead[0] == pytest.approx(16e6)


def test_costs_are_what_was_counted(grid: StudyTable) -> None:
    row = next(row for row in grid.measured if row.name == "vit_mini-w2-e3")
    assert costs_of_row(row) == {"params": 4e5, "macs": 4e6, "images_seen": 3 * 45_000, "training_images": 45_000}


def test_every_form_says_it(grid: StudyTable) -> None:
    (found,) = json.loads(json.dumps(to_json(grid)["scaling"], allow_nan=False))
    macs = next(one for one in found["curves"] if one["cost"] == "macs")
    assert macs["pairs"][0]["better_throughout"] == "a" and macs["networks"][0]["extrapolated"]["cost"] == 16e6
    assert macs["networks"][1]["points"][2]["row"] == "vit_mini-w2-e12"
    console = Console(width=100, record=True, file=StringIO())
    console.print(to_rich(grid))
    said = console.export_text()
    assert "every cost" in said and "EXTRAPOLATED" in said and "On the front of accuracy against MACs" in said
    assert "percent of draws of the rows' means" in " ".join(said.split())
    assert max(map(len, said.splitlines())) <= 100
    html = page(grid)
    for part in (
        'id="scaling"',
        'id="scaling0-width-macs"',
        "resnet_mini at every cost",
        "Dashed: extrapolated",
        '<td class="words">resnet_mini at every cost</td>',
    ):
        assert part in html


def test_the_answer_says_who_is_better_at_equal_cost(grid: StudyTable) -> None:
    said = "At equal MACs (width varies), resnet_mini or vit_mini, 250 k to 4.00 M: resnet_mini at every cost."
    assert said in grid.study.answer


def test_nothing_is_extrapolated_unless_it_was_asked_for(tmp_path: Path) -> None:
    table = table_of(rows_of(tmp_path))
    (found,) = scaling_of(table)
    assert {line.ahead for on in found.on for line in on.lines} == {None}
    console = Console(width=100, record=True, file=StringIO())
    console.print(to_rich(table))
    assert "EXTRAPOLATED" not in console.export_text() and "Dashed: extrapolated" not in page(table)


def test_an_exponent_of_which_nothing_is_known_has_an_open_interval() -> None:
    law = PowerLaw(40.0, 2.0, 10.0, 1.0, float(EXPONENTS[0]), float(EXPONENTS[-1]), None, None, WITH_A_FLOOR)
    line = Line("net", (), cost_curve([1, 2], [[1.0, 2.0]] * 2), law)
    of = ScalingOf("", (OnCost("width", "macs", (line,), {}),), (), ())
    assert law_lines(of)[0][3] == "[0.01 or less, 4.00 or more]"


def test_means_that_cross_where_neither_is_told_from_the_other_are_no_verdict() -> None:
    open_ended = IsoCost(1e6, 4e6, (Stretch(1e6, 4e6, ""),), (Crossing(2e6, 1e6, 4e6, False, False),))
    said = "undecided; means cross at 2.00 M, [below 1.00 M, above 4.00 M]"
    assert verdict_words(open_ended, "one", "other") == said
    told = replace(open_ended, stretches=(Stretch(1e6, 2e6, "a"), Stretch(2e6, 4e6, "")))
    assert verdict_words(told, "one", "other").startswith("one up to 2.00 M; means cross at")


def test_rows_without_a_second_run_or_a_result_are_named(tmp_path: Path) -> None:
    rows = rows_of(tmp_path)
    rows[0] = Row(rows[0].name, runs=rows[0].runs[:1])
    rows[4] = Row(rows[4].name, declared=(spec_of("vit_mini"),))
    (found,) = scaling_of(table_of(rows))
    assert found.left_out == (
        "resnet_mini-w0.5-e12: one run, so that its spread is not known", "vit_mini-w1-e12: without a result"
    )  # fmt: skip
    assert [len(line.rows) for line in found.on[0].lines] == [2, 2]
    assert scaling_of(build_table(StudyRows("plain", tuple(rows)))) == []


def test_each_of_several_test_sets_is_named(tmp_path: Path) -> None:
    table = table_of([*rows_of(tmp_path, seeds=2), *rows_of(tmp_path, seeds=2, data="set2")])
    console = Console(width=100, record=True, file=StringIO())
    console.print(to_rich(table))
    said = [line.strip() for line in console.export_text().splitlines()]
    assert [said.count(f"On {name}:") for name in ("cifar10", "set2")] == [2, 2]  # of the answer, and of the curves


def test_networks_that_were_trained_for_unequal_lengths_are_not_compared_at_equal_size(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, epochs=(3, 12))
    rows = [row for row in rows if not (row.name.startswith("resnet") and row.name.endswith("e12"))]
    table = table_of(rows)
    (found,) = scaling_of(table)
    width = next(on for on in found.on if (on.factor, on.cost) == ("width", "macs"))
    (pair,) = width.pairs.values()
    assert pair.why == "they were trained at length 3 and 12" and not pair.stretches
    assert "At equal" not in table.study.answer
    assert to_json(table)["scaling"][0]["curves"][1]["pairs"][0]["why"] == pair.why


def of_image_sizes(folder: Path, **changes: object) -> dict[int, Row]:
    """A network's rows at three image sizes, which multiply-accumulates grow with and parameters do not."""
    return {
        side: Row(f"at-{side}", runs=tuple(
            write_run(folder / f"{side}-{changes}" / f"seed{seed}",
                      spec_of("vit_mini", seed, data__image_size=side, model__image_size=side, **changes),
                      2 + side / 16, (1e5, 1e3 * side**2, 1000, 100), images=600)
            for seed in range(3)
        ))
        for side in (16, 24, 32)
    }  # fmt: skip


def test_where_the_image_size_varies_the_curve_says_so_and_says_nothing_of_width(tmp_path: Path) -> None:
    rows = of_image_sizes(tmp_path)
    wider = of_image_sizes(tmp_path, model__options={"width_factor": 2.0})
    wide = {side: replace(row, name=f"{row.name}-w2") for side, row in wider.items()}
    every = [*rows.values(), *wide.values()]
    table = build_table(StudyRows("scale", tuple(every), curves={"net": tuple(row.name for row in every)}))
    (found,) = scaling_of(table)
    lines = {(on.factor, on.cost): [row.name for row in on.lines[0].rows] for on in found.on}
    assert lines == {("image_size", "macs"): ["at-16", "at-24", "at-32"]}
    assert {cells[0] for cells in law_lines(found)} == {"MACs (image size varies)"}


def test_a_curve_whose_rows_differ_in_something_else_is_named_and_is_none(tmp_path: Path) -> None:
    runs = {
        model: [
            write_run(tmp_path / model / f"{seed}", spec_of(model, seed), 3, (cost, cost, 1, 1)) for seed in range(2)
        ]
        for model, cost in (("resnet_nano", 1e5), ("resnet_mini", 1e6))
    }
    rows = tuple(Row(model, runs=tuple(own)) for model, own in runs.items())
    (found,) = scaling_of(build_table(StudyRows("scale", rows, curves={"resnet": tuple(runs)})))
    assert found.on == () and found.left_out == (
        "resnet: no two of its rows differ in one of width, depth, image size, length and training images alone",
    )  # fmt: skip


def test_rows_that_cost_the_same_are_one_point_and_the_other_is_named(tmp_path: Path) -> None:
    rows = rows_of(tmp_path)
    twin = [
        write_run(tmp_path / "twin" / f"seed{seed}", spec_of("vit_mini", seed, model__options={"width_factor": 1.01}),
                  4.5, (1e5, 1e6, 1000, 100), images=600)
        for seed in range(3)
    ]  # fmt: skip
    (found,) = scaling_of(table_of([*rows, Row("vit_mini-w1.01-e12", runs=tuple(twin))]))
    assert found.left_out == (
        "vit_mini-w1.01-e12: as many parameters as vit_mini-w1-e12",
        "vit_mini-w1.01-e12: as many MACs as vit_mini-w1-e12",
    )
    assert [row.name for row in found.on[0].lines[1].rows] == [f"vit_mini-w{w:g}-e12" for w in WIDTHS]


def test_a_training_that_is_listed_twice_is_on_the_front_once(tmp_path: Path) -> None:
    rows = [replace(row, declared=(row.runs[0].spec(),)) for row in rows_of(tmp_path)]
    again = Row("vit_mini-again", runs=rows[-1].runs, declared=rows[-1].declared)
    both = [scaling_of(table_of(one))[0].fronts for one in (rows, [*rows, again])]
    assert both[0] == both[1]


def test_an_extrapolated_score_is_one_that_can_be(tmp_path: Path) -> None:
    rows = []
    for width, skill in zip((1.0, 1.2, 1.4), (3.0, 1.0, -1.0), strict=True):
        specs = [spec_of("vit_mini", seed, model__options={"width_factor": width}) for seed in range(3)]
        cost = (1e5 * width**2, 1e6, 1000, 100)
        runs = [write_run(tmp_path / f"{width}" / f"{spec.seed}", spec, skill, cost, images=300) for spec in specs]
        rows.append(Row(f"vit_mini-w{width:g}", runs=tuple(runs)))
    (found,) = scaling_of(table_of(rows, extrapolate=1000.0))
    (line,) = found.on[0].lines
    assert line.ahead is not None and line.ahead[1] == 0.0 and 0 <= line.ahead[2] <= line.ahead[3] <= 100


def test_a_folder_that_says_nothing_of_curves_is_read(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text(json.dumps({"name": "old", "rows": []}))
    assert read_study(tmp_path).curves == {} and read_study(tmp_path).extrapolate is None
