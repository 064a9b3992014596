"""The table: what a row shows, and every form in which it is written."""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.data.sources import catalog
from levelfield.errors import UserError
from levelfield.page.page import page
from levelfield.runs import write_json
from levelfield.statistics import verdict
from levelfield.tables import Published, Row, StudyRows, build_table, read_study
from levelfield.tables.answer_to_question import statements
from levelfield.tables.number_format import difference_interval
from levelfield.tables.text.csv import to_csv
from levelfield.tables.text.footnotes import footnotes
from levelfield.tables.text.json import to_json
from levelfield.tables.text.latex import to_latex
from levelfield.tables.text.markdown import to_markdown
from levelfield.tables.text.records import records
from levelfield.tables.text.terminal import to_rich
from synthetic_runs import spec_of, write_run


def text_of(study: StudyRows | Sequence[Row], width: int = 80, **rule: Any) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(to_rich(build_table(study, **rule)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_answer_stands_below_the_question(study: StudyRows) -> None:
    said = " ".join(text_of(study).split())
    answer = " ".join(statement.text for statement in statements(build_table(study)))
    assert said.startswith(f"{study.question} {answer} Fairness:") and len(statements(build_table(study))) > 2
    alone = replace(study, rows=study.rows[:1], baseline="outgrid_nano")
    assert " ".join(text_of(alone).split()).startswith(f"{study.question} Fairness:")


def test_a_row_shows_mean_interval_difference_and_rank(study: StudyRows) -> None:
    table = build_table(study)
    row = next(row for row in table.rows if row.name == "outgrid_nano")
    scores = [run.result["top1"] for run in row.runs.finished]
    assert row.top1 is not None and row.top1.value == pytest.approx(np.mean(scores))
    assert row.top1.method == "Student's t"
    assert row.to_baseline is not None and (row.to_baseline.b, row.n) == ("resnet_mini", 3)
    assert row.sample is not None and row.sample.n == 2000
    ranks = {row.name: row.rank for row in table.measured}
    assert ranks["vit_mini"] is not None and ranks["vit_mini"].best > 1


def test_rows_without_a_result_say_so(study: StudyRows) -> None:
    states = {row.name: row.state for row in build_table(study).rows}
    assert (states["efficient_mini"], states["swin_mini"]) == ("not run", "failed")
    shown = text_of(study)
    assert "not run" in shown
    assert "loss is not finite at step 80" in shown


def test_the_terminal_shows_it_all_in_80_columns(study: StudyRows) -> None:
    shown = text_of(study)
    assert "…" not in shown
    for word in ("outgrid_nano", "1.21 M", "2,100", "baseline", "worse", "not comparable"):
        assert word in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_ties_are_not_given_a_winner(tmp_path: Path) -> None:
    rows = [
        Row(n, runs=tuple(write_run(tmp_path / n / str(s), spec_of(n, s), images=300) for s in range(3))) for n in "ab"
    ]
    table = build_table(rows)
    assert [verdict(row.to_baseline) for row in table.rows if row.to_baseline] == ["undecided"]
    needed = re.search(r"\| undecided \(about (\d+) more seeds\) \|", to_markdown(table))
    assert needed is not None and int(needed[1]) > 0
    assert {str(row.rank) for row in table.rows} == {"1–2"}


def scored(folder: Path, scores: Mapping[str, Sequence[float]], images: int = 200) -> list[Row]:
    """Rows whose runs have these scores; their predictions (and so their flips) are those of equal networks."""
    return [
        Row(name, runs=tuple(
            write_run(folder / name / str(seed), spec_of(name, seed), top1=score, images=images)
            for seed, score in enumerate(values)
        ))
        for name, values in scores.items()
    ]  # fmt: skip


ALIKE, AHEAD = (90.0, 90.1, 89.9, 90.05, 89.95), (93.9, 94.1, 94.0, 94.05, 93.95)


RULE = {"usual": "The usual rule, not --verdict strict", "strict": "Strict rule"}
"""How the forms that are read begin to say the rule."""


@pytest.mark.parametrize(
    ("other", "margin", "rule", "said"),
    [
        (AHEAD, 0.5, "usual", "better"),
        ((85.9, 86.1, 86.0, 86.05, 85.95), 0.5, "usual", "worse"),
        (ALIKE, 2.0, "usual", "equivalent within 2"),
        (ALIKE, 0.01, "usual", "undecided"),
        ((90.0,), 0.5, "usual", "too few seeds"),
        (AHEAD, 0.5, "strict", "better"),
        (AHEAD[:3], 0.5, "usual", "better"),
        (AHEAD[:2], 0.5, "usual", "too few seeds"),
        (AHEAD[:2], 0.5, "strict", "too few seeds"),
        ((90.0,), 0.5, "strict", "too few seeds"),
    ],
)
def test_every_form_says_the_same_of_a_row(
    other: Sequence[float], margin: float, rule: str, said: str, tmp_path: Path
) -> None:
    """One row beside its baseline, in each of the verdicts under each rule: no form says another one, or gives too few
    seeds an interval, or leaves out by which rule and margin."""
    rows = scored(tmp_path, {"base": (90.0, 90.1, 89.9, 89.95, 90.05), "other": other}, images=2000)
    table = build_table(rows, margin=margin, verdict=rule)
    markdown, latex, html, as_json = to_markdown(table), to_latex(table), page(table), to_json(table)
    lines = list(csv.DictReader(io.StringIO(to_csv(table))))
    terminal = " ".join(text_of(rows, margin=margin, verdict=rule).split())

    word = re.split(r" within| \(", said)[0]
    assert [record["verdict"] for record in records(table)] == [None, word]
    assert [line["verdict"] for line in lines] == ["", word]
    assert (as_json["rows"][1]["verdict"], [pair["verdict"] for pair in as_json["pairs"]]) == (word, [word])
    for shown in (
        next(line for line in markdown.splitlines() if line.startswith("| other ")),
        next(line for line in latex.splitlines() if line.startswith("other ")),
        terminal.partition("Top-1:")[0].partition("other")[2],
        next(line for line in html.split("<tr ") if line.startswith('data-row="other"')).partition("</tr>")[0],
    ):
        parts = said.rstrip(")").split(" (")  # the page has what stands in brackets in a line of its own
        assert all(part in shown for part in parts)
        if said == "too few seeds":
            assert not re.search(r"[+−]\d+\.\d+ *\[", shown)

    assert {(line["margin"], line["verdict_rule"]) for line in lines} == {(str(margin), rule)}
    assert (as_json["margin"], as_json["verdict_rule"]) == (margin, rule)
    for text in (markdown, latex, html, terminal, " ".join(as_json["basis"])):
        assert RULE[rule] in text and f"Equivalent within {margin:g}:" in text
    assert ("never reject with so few seeds" in markdown) is ("needs" in said)


def test_a_row_of_one_seed_has_an_interval_and_says_where_it_comes_from(tmp_path: Path) -> None:
    rows = scored(tmp_path, {"base": (90.0, 90.1, 89.9), "single": (88.0,)}, images=2000)
    single = {record["row"]: record for record in records(build_table(rows))}["single"]
    assert single["interval_method"] == "flips and overdispersion" and single["top1_low"] < 88.0 < single["top1_high"]
    assert any("With one or two seeds (single) it comes from" in line for line in footnotes(build_table(rows)))
    assert "single | 1 | 88.00 | [" in to_markdown(build_table(rows))
    for run in rows[0].runs:
        (run.path / "predictions.parquet").unlink()
    assert records(build_table(rows))[1]["top1_low"] is None
    assert not any("With one or two seeds" in line for line in footnotes(build_table(rows)))


def test_every_form_says_what_holds_on_other_images_and_where_the_rest_is_named(tmp_path: Path) -> None:
    rows = scored(tmp_path, {"base": (90.0, 90.1, 89.9), "other": (90.2, 90.0, 90.4)}, images=2000)
    table = build_table(rows)
    pair = table.rows[1].to_baseline
    assert pair is not None and pair.elsewhere is not None and pair.elsewhere.low is not None
    (line,) = [one for one in csv.DictReader(io.StringIO(to_csv(table))) if one["row"] == "other"]
    assert float(line["other_images_low"]) == pair.elsewhere.low and line["other_images_different"] == "False"
    assert float(line["other_images_high"]) == pair.elsewhere.high
    assert f"(about {line['more_seeds']} more seeds)" in to_markdown(table)
    said = (
        f"To baseline on other images of the same kind: other {difference_interval(pair.elsewhere)}, not decided there."
    )
    terminal = " ".join(text_of(rows).split())
    assert all(
        said in text for text in (terminal, to_markdown(table), to_latex(table), "\n".join(to_json(table)["basis"]))
    )
    assert table.audit.of("unchecked") and "not checked" in table.audit.verdict
    assert all("The page and --json name each." in text for text in (terminal, to_markdown(table), to_latex(table)))


def test_what_looks_spent_is_said_as_it_is(tmp_path: Path) -> None:
    table = build_table(scored(tmp_path, {"a": (90.0, 90.2, 89.9), "b": (91.0, 91.3, 90.9)}))
    for spent, said in (
        (0.05, "at most once in 20"),
        (0.018, "at most 1.8 %, over all"),
        (0.075, "at most 7.5 %, over"),
    ):
        panels = {panel: replace(one, spent=spent) for panel, one in table.panels.items()}
        assert said in " ".join(footnotes(replace(table, panels=panels)))


def test_equal_scores_and_what_has_no_interval_say_why_in_every_form(tmp_path: Path) -> None:
    rows = scored(tmp_path, {"base": (90.0, 90.1, 89.9), "equal": (88.0, 88.0, 88.0), "single": (87.0,)}, images=2000)
    table = build_table(rows)
    said = "With one or two seeds (single) and with seeds of equal scores (equal) it comes from"
    equal = records(table)[1]
    assert equal["interval_method"] == "flips and overdispersion" and equal["top1_low"] < 88.0 < equal["top1_high"]
    assert all(said in text for text in (to_markdown(table), to_latex(table), page(table)))
    for run in rows[1].runs:
        (run.path / "predictions.parquet").unlink()
    table = build_table(rows)
    said = "equal: no interval: the scores of all 3 seeds are equal: no spread is seen; and it is not known"
    assert records(table)[1]["top1_low"] is None
    for text in (
        to_markdown(table),
        to_latex(table),
        " ".join(text_of(rows).split()),
        "\n".join(to_json(table)["basis"]),
    ):
        assert said in text
    assert said.partition(": ")[2] in page(table)


def test_the_basis_names_the_test_that_decided(tmp_path: Path) -> None:
    alike = scored(tmp_path, {"a": (90.0, 90.2, 89.9), "b": (91.0, 91.3, 90.9)})
    (tmp_path / "b" / "0" / "predictions.parquet").unlink()
    (own,) = [line for line in footnotes(build_table(alike, margin=0.25)) if line.startswith("To baseline (a)")]
    assert "Decided by Welch's t" in own and "paired" not in own
    assert any("Equivalent within 0.25:" in line for line in footnotes(build_table(alike, margin=0.25)))
    assisted = scored(tmp_path / "two", {"a": (90.0, 90.2, 89.9), "b": (91.0, 91.3, 90.9)})
    assert any("Decided by the model-assisted test" in line for line in footnotes(build_table(assisted)))
    one_each = scored(tmp_path / "one", {"a": (90.0,), "b": (91.0,)})
    assert any("Nothing was decided: too few seeds." in line for line in footnotes(build_table(one_each)))
    assert not any("To baseline" in line for line in footnotes(build_table(one_each[:1])))


def test_intervals_are_shown_no_wider_than_a_score_can_be(tmp_path: Path) -> None:
    """Two seeds far apart: Student's t leaves the scale, JSON has it as it is."""
    table = build_table(scored(tmp_path, {"a": (4.0, 30.0), "b": (60.0, 20.0)}, images=2000))
    low = [row["top1_low"] for row in records(table)]
    assert max(low) < 0 and "[0.00, 100.00]" in to_markdown(table)
    (pair,) = to_json(table)["pairs"]
    assert pair["low"] < -100 and pair["high"] > 100
    assert "| +23.00 | – | undecided" in to_markdown(table)


def test_every_form_holds_the_same_numbers(study: StudyRows) -> None:
    table = build_table(study)
    json_rows = {row["row"]: row for row in json.loads(json.dumps(to_json(table)))["rows"]}
    csv_rows = {row["row"]: row for row in csv.DictReader(io.StringIO(to_csv(table)))}
    markdown, latex = to_markdown(table), to_latex(table)
    for row in table.measured:
        assert row.top1 is not None
        assert json_rows[row.name]["top1"] == float(csv_rows[row.name]["top1"]) == row.top1.value
        assert f"| {row.title} | 3 | {row.top1.value:.2f} |" in markdown
        assert row.title.replace("_", r"\_") + f" & 3 & {row.top1.value:.2f}" in latex
    assert len(json.loads(json.dumps(to_json(table)))["pairs"]) == 10


def test_published_beside_measured(study: StudyRows) -> None:
    table = build_table(study)
    rows = {row.name: row for row in table.rows}
    resnet, vit = rows["resnet_mini"].published, rows["vit_mini"].published
    assert resnet is not None and resnet.difference is not None and resnet.reasons == ()
    assert vit is not None and vit.difference is None
    assert "published on cifar100, measured on cifar10" in to_markdown(table)


def test_a_row_that_was_not_run_shows_what_was_published_in_every_form() -> None:
    study = StudyRows("s", (Row("a", published=Published({"top1": 79.72}, "cifar100", 100)), Row("b")))
    table = build_table(study)
    assert [row.state for row in table.rows] == ["not run", "not run"]
    shown = [line.split() for line in text_of(study).splitlines() if "79.72" in line]
    assert shown == [["a", "79.72", "not", "run"]]
    assert "| 79.72 |" in to_markdown(table) and "& 79.72 &" in to_latex(table)
    assert [row["published_top1"] for row in records(table)] == [79.72, None]
    assert [row["published_top1"] for row in csv.DictReader(io.StringIO(to_csv(table)))] == ["79.72", ""]


def test_a_reduced_scale_is_not_compared_with_what_was_published(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", spec_of("a"), images=100)
    row = Row("a", runs=(run,), published=Published({"top1": 90.0}, "cifar10", 10))
    assert build_table(StudyRows("s", (row,), scale="cpu")).rows[0].published.reasons  # type: ignore[union-attr]
    assert build_table(StudyRows("s", (row,), scale="full")).rows[0].published.reasons == ()  # type: ignore[union-attr]
    changed = build_table(StudyRows("s", (row,), scale="full", changes=("budget.steps=12",))).rows[0].published
    assert changed is not None and changed.inside is None
    assert changed.reasons == ("changed on the command line: budget.steps=12",)


def test_declared_steps_are_what_a_table_asks_under_whatever_name_a_row_is_listed(tmp_path: Path) -> None:
    listed = [
        Row(name, declared=declared, runs=tuple(
            write_run(tmp_path / name / str(s), spec, 3.0 + place, images=200)
            for s, spec in enumerate(declared)
        ))
        for place, name in enumerate(("base", "b", "c", "d"))
        for declared in [tuple(spec_of(name, seed) for seed in range(3))]
    ]  # fmt: skip
    again = replace(listed[2], name="c-again")
    study = StudyRows("s", (*listed, again), baseline="base")
    steps = (("step", "b", "c-again"), ("to nothing", "b", "missing"))
    (plain,), (asked,) = (build_table(one).panels.values() for one in (study, replace(study, steps=steps)))
    without, step = plain.between("c", "b"), asked.between("c", "b")
    assert without is not None and step is not None and step.seeds_for != () and without.seeds_for == ()
    assert [(pair.a, pair.b) for pair in asked.pairs[:4]] == [("b", "base"), ("c", "base"), ("d", "base"), ("c", "b")]


def test_each_test_set_has_its_own_baseline(tmp_path: Path) -> None:
    rows = [
        Row(f"{data}-{model}", runs=tuple(
            write_run(tmp_path / data / model / str(s), spec_of(model, s, data=data), images=100) for s in range(2)
        ))
        for data in ("cub200", "stanford_dogs") for model in ("a", "b")
    ]  # fmt: skip
    table = build_table(rows, "cub200-b")
    assert {panel: c.baseline for panel, c in table.panels.items()} == {
        "cub200": "cub200-b",
        "stanford_dogs": "stanford_dogs-a",
    }
    assert all(len(comparison.pairs) == 1 for comparison in table.panels.values())


def test_a_limit_that_cuts_no_test_image_is_not_said_to(tmp_path: Path) -> None:
    """Of 449 images a limit of 800 leaves all: such rows stand with those that have none, run or not."""
    rows = [
        Row(name, runs=(write_run(tmp_path / name, spec_of(name, data="digits", **limit), images=images),))
        for name, limit, images in (
            ("whole", {}, 449), ("limited", {"data__test_limit": 800}, 449), ("cut", {"data__test_limit": 300}, 300)
        )
    ]  # fmt: skip
    rows.append(Row("planned", declared=(spec_of("planned", data="digits", data__test_limit=800),)))
    own = [write_run(tmp_path / "own", spec_of("own", data="mine", data__test_limit=900), images=120)]
    rows += [Row("own", runs=tuple(own)), Row("later", declared=(spec_of("x", data="mine", data__test_limit=900),))]
    found = {row.name: row.panel for row in build_table(rows).rows}
    assert found == {
        "whole": "digits", "limited": "digits", "cut": "digits (300 test images)", "planned": "digits",
        "own": "mine", "later": "mine",
    }  # fmt: skip


def test_an_unknown_baseline_offers_the_nearest(study: StudyRows) -> None:
    with pytest.raises(UserError, match="did you mean 'vit_mini'"):
        build_table(study, "vit_minni")


def test_somebody_else_s_predictions_are_a_row(study: StudyRows) -> None:
    file = study.rows[0].runs[0].path / "predictions.parquet"
    (row,) = build_table([Row("theirs", predictions=(file,))]).rows
    assert row.n == 1
    assert row.top1 is not None
    assert row.top1.value == pytest.approx(study.rows[0].runs[0].result()["top1"])  # type: ignore[index]


def test_a_training_under_several_names_is_one_line_and_counts_once(tmp_path: Path) -> None:
    """Two trainings under three names: one comparison, not two; the published figures of all names are kept."""
    runs = {m: tuple(write_run(tmp_path / m / f"seed{s}", spec_of(m, s), images=200) for s in range(3)) for m in "ab"}

    def row(name: str, model: str, top1: float | None = None) -> Row:
        published = None if top1 is None else Published({"top1": top1}, "cifar10", 10)
        return Row(name, runs=runs[model], declared=(spec_of(model),), published=published)

    listed = [row("base", "a"), row("step", "b", 95.04), row("also step", "b", 95.13), row("again", "b", 95.04)]
    table = build_table(StudyRows("s", tuple(listed), baseline="base", steps=(("x", "base", "again"),)))
    alone = build_table(StudyRows("s", tuple(listed[:2]), baseline="base"))
    assert [row.name for row in table.rows] == ["base", "step"]
    assert table.panels == alone.panels and len(table.panels["cifar10"].pairs) == 1
    assert "step: also listed as also step (published 95.13) and again: the same training, counted once" in (
        footnotes(table)
    )
    assert records(table)[1]["also"] == ["also step", "again"]
    assert "also listed as also step and again" in page(table) and len(table.measured) == 2
    assert "Step “x” (" in table.study.answer
    assert build_table(StudyRows("s", tuple(listed)), "again").rows[1].is_baseline


def test_rows_that_differ_in_anything_or_were_never_declared_stay_apart(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", spec_of("a"), images=50)
    rows = [
        Row("one", runs=(run,)),
        Row("two", runs=(run,)),
        Row("not run", declared=(spec_of("a"),)),
        Row("longer", declared=(spec_of("a", budget={"epochs": 13}),)),
    ]
    assert [row.name for row in build_table(rows).rows] == ["one", "two", "not run", "longer"]


def test_known_leaks_of_the_data_stand_in_every_table(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "seed0", spec_of("a", data="cub200"), images=50)
    found = CliRunner().invoke(app, ["report", str(tmp_path), "--json"])
    said = [finding["text"] for finding in json.loads(found.stdout)["audit"]["findings"]]
    assert catalog.notes("cub200") and all(any(note in text for text in said) for note in catalog.notes("cub200"))


def test_a_study_folder_is_read_back(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "seed0", spec_of("a"), images=50)
    published = {"values": {"top1": 79.7, "loss": None}, "data": "cifar10", "num_classes": 10}
    rows = [
        {"name": "a", "label": "Model A", "runs": ["a/seed0", "a/seed1"], "published": published},
        {"name": "b", "declared": [spec_of("b").model_dump(mode="json")]},
        {"name": "c", "failures": {"0": "no such data\nget it", "1": "no such data\nget it", "2": "no memory"}},
    ]
    write_json(tmp_path / "study.json", {"name": "s", "baseline": "a", "rows": rows})
    found = read_study(tmp_path)
    assert [(row.title, len(row.runs)) for row in found.rows] == [("Model A", 1), ("b", 0), ("c", 0)]
    assert found.rows[0].published == Published({"top1": 79.7}, "cifar10", 10)
    table = build_table(found)
    assert [row.state for row in table.rows] == ["measured", "not run", "could not begin"]
    said = [line for line in footnotes(table) if line.startswith("c: ")]
    assert said == ["c: no result of seed 0 and seed 1: no such data; get it", "c: no result of seed 2: no memory"]


def test_runs_without_a_study_are_grouped_by_setting(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path / f"x{seed}", spec_of("a", seed), images=50)
    write_run(tmp_path / "y", spec_of("a", recipe__name="other", recipe__batch_size=64), images=50)
    rows = read_study(tmp_path).rows
    assert [(row.name, len(row.runs)) for row in rows] == [("a / cpu-fast", 2), ("a / other", 1)]


@pytest.mark.parametrize(("text", "says"), [(None, "no runs in"), ("{", "study.json cannot be read")])
def test_a_folder_that_holds_nothing_readable(tmp_path: Path, text: str | None, says: str) -> None:
    if text is not None:
        (tmp_path / "study.json").write_text(text)
    with pytest.raises(UserError, match=says):
        read_study(tmp_path)
