"""A study carried out for real, on digits: resumed, extended, edited, failing, merged, picked from, pruned."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from levelfield.analysis.compression_ladder import ladder
from levelfield.errors import UserError
from levelfield.runs import Predictions, RunFolder, find_runs, write_json, write_predictions
from levelfield.runs.compact import rounded, without_places
from levelfield.studies.declared.planned_runs import PlannedRow, PlannedRun
from levelfield.studies.results.merge import add_predictions, merge_folders
from levelfield.studies.results.pick import parse_quantity, pick
from levelfield.studies.results.prune import removals, remove
from levelfield.studies.results.run_folders import find_all
from levelfield.studies.results.write_outputs import report_study
from levelfield.study import Study
from levelfield.tables import build_table, read_study
from levelfield.tables.number_format import short

Write = Callable[..., Path]


def scores(out: Path) -> dict[tuple[str, int], float]:
    """(row, seed) -> top-1, as results.json states it."""
    results = json.loads((out / "results.json").read_text())
    return {(result["row"], result["seed"]): result["top1"] for result in results}


def written(out: Path) -> dict[str, int]:
    """Run folder -> when its weights were written."""
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in out.rglob("weights.safetensors")}


def test_a_run_folder_per_training_and_the_tables_files(finished: tuple[Path, Path]) -> None:
    _, out = finished
    assert set(scores(out)) == {(row, seed) for row in ("resnet_nano", "vit_mini") for seed in (0, 1)}
    for run in find_runs(out):
        assert run.path.name == f"seed{run.spec().seed}-{run.identity[:8]}"
    lines = list(csv.DictReader((out / "results.csv").open()))
    assert {(line["row"], int(line["seed"])): float(line["top1"]) for line in lines} == pytest.approx(scores(out))
    page = (out / "report.html").read_text()
    assert page.startswith("<!DOCTYPE html>") and "resnet_nano" in page
    study = json.loads((out / "study.json").read_text())
    assert [len(row["runs"]) for row in study["rows"]] == [2, 2]
    assert "execution" not in study["rows"][0]["declared"][0]


def test_a_finished_study_is_not_trained_again_and_a_seed_more_trains_only_it(copied: tuple[Study, Path]) -> None:
    study, out = copied
    before = written(out)
    assert not [note for note in study.run(out).study.notes if "more seeds" in note]
    assert written(out) == before
    table = study.run(out, seeds=range(3), only=["vit_mini"])
    assert [note for note in table.study.notes if note.startswith("This table was looked at 2 times, with 2 and 3")]
    assert [one.spent for one in table.panels.values()] == [0.05 * 1.5]
    after = written(out)
    assert {path: time for path, time in after.items() if path in before} == before
    assert [path.split("/")[0] for path in after if path not in before] == ["vit_mini"]
    assert [row.n for row in table.rows] == [2, 3]


def test_asking_for_what_is_there_is_no_look(copied: tuple[Study, Path]) -> None:
    study, out = copied
    before = written(out)
    for seeds in ([0], [0, 1]):
        table = study.run(out, seeds=seeds, page=False)
        assert [row.n for row in table.rows] == [2, 2]
    assert not (out / "looks.json").exists()
    assert written(out) == before


@pytest.mark.parametrize("name", ["plugins", "overrides", "only"])
def test_a_list_given_as_one_text_is_refused(copied: tuple[Study, Path], name: str) -> None:
    study, out = copied
    with pytest.raises(UserError, match=f"{name} must be a list of texts, not one text"):
        study.run(out, **{name: "nix.py"})  # type: ignore[arg-type]


def test_an_edited_recipe_makes_new_runs_and_never_mixes(copied: tuple[Study, Path]) -> None:
    study, out = copied
    before = written(out)
    table = study.run(out, seeds=[0], overrides=["recipe.optimizer.lr=0.001"])
    assert len(written(out)) == len(before) + 2
    assert [row.n for row in table.rows] == [1, 1]
    assert all("stale, not counted: seed 0, seed 1" in " ".join(row.runs.row.notes) for row in table.rows)
    assert [row.n for row in study.run(out, overrides=[]).rows] == [2, 2]


def test_a_failed_run_is_a_row_that_says_why_and_the_others_go_on(study_file: Write, tmp_path: Path) -> None:
    rows = [
        {
            "model": "vit_mini",
            "name": "bad",
            "set": {"model.image_size": 12, "data.image_size": 12, "recipe.optimizer.lr": 1e9},
        }
    ]
    path = study_file(rows=rows, models=["resnet_nano"], seeds=1)
    table = Study.load(path).run(tmp_path / "out")
    by_name = {row.name: row for row in table.rows}
    assert by_name["resnet_nano"].n == 1
    assert by_name["bad"].n == 0
    failures = {
        row["name"]: row["failures"] for row in json.loads((tmp_path / "out" / "study.json").read_text())["rows"]
    }
    assert failures["resnet_nano"] == {} and "not finite" in failures["bad"]["0"]
    assert by_name["bad"].state == "failed" and "not finite" in by_name["bad"].runs.row.failures[0]


def test_where_nothing_can_be_begun_the_reason_is_the_error(study_file: Write, tmp_path: Path) -> None:
    path = study_file(data="cifar10")
    with pytest.raises(UserError, match="cifar10"):
        Study.load(path).run(tmp_path / "out", data_dir=str(tmp_path / "nowhere"))


def test_a_second_stage_starts_from_the_first_of_its_seed(study_file: Write, tmp_path: Path) -> None:
    rows = [
        {"model": "resnet_nano", "name": "second", "after": "first", "set": {"budget.steps": 1}},
        {"model": "resnet_nano", "name": "first"},
    ]
    path = study_file(models=None, baseline=None, rows=rows)
    study = Study.load(path)
    table = study.run(tmp_path / "out")
    assert [row.n for row in table.rows] == [2, 2]
    for run in find_runs(tmp_path / "out" / "second"):
        start = run.spec().model.start_from
        assert start is not None and f"first/seed{run.spec().seed}-" in start.source
    merge_folders([tmp_path / "out"], tmp_path / "kept", compact=True)
    for out in (tmp_path / "out", tmp_path / "kept"):
        assert {one.state for one in find_all(out, study.plan())} == {"finished"}
    assert not [file for file in (tmp_path / "kept").rglob("*.json") if str(tmp_path) in file.read_text()]


def test_the_seeds_of_a_second_stage_are_one_row_without_study_json(study_file: Write, tmp_path: Path) -> None:
    rows = [
        {"model": "resnet_nano", "name": "second", "after": "first", "set": {"budget.steps": 1}},
        {"model": "resnet_nano", "name": "first"},
    ]
    Study.load(study_file(models=None, baseline=None, rows=rows)).run(tmp_path / "out")
    merge_folders([tmp_path / "out"], tmp_path / "kept", compact=True)
    for out in (tmp_path / "out", tmp_path / "kept"):
        (out / "study.json").unlink()
        assert [len(row.runs) for row in read_study(out).rows] == [2, 2]


def test_a_failure_of_an_old_setting_is_forgotten_when_the_study_is_edited(study_file: Write, tmp_path: Path) -> None:
    def failures(lr: float) -> list[int]:
        rows = [{"model": "vit_mini", "name": "bad", "set": {"recipe.optimizer.lr": lr}}]
        study = Study.load(study_file(rows=rows, models=["resnet_nano"], seeds=1))
        if lr > 1:
            study.run(tmp_path / "out")
        return [seed for row in report_study(study, tmp_path / "out").rows for seed in row.runs.row.failures]

    assert failures(1e9) == [0] == failures(1e9)
    assert failures(1e-3) == []


def test_a_second_stage_of_an_edited_first_stage_is_trained_anew(study_file: Write, tmp_path: Path) -> None:
    def rows(lr: float) -> list[dict[str, Any]]:
        return [
            {"model": "resnet_nano", "name": "first", "set": {"recipe.optimizer.lr": lr, "budget.steps": 2}},
            {"model": "resnet_nano", "name": "second", "after": "first", "set": {"budget.steps": 1}},
        ]

    def states(study: Study) -> list[str]:
        return [one.state for one in find_all(tmp_path / "out", study.plan())]

    def second_rows() -> set[str]:
        return {run.path.name for run in find_runs(tmp_path / "out" / "second")}

    original = Study.load(study_file(models=None, baseline=None, seeds=1, rows=rows(0.003)))
    original.run(tmp_path / "out")
    before = second_rows()
    edited = Study.load(study_file(models=None, baseline=None, seeds=1, rows=rows(0.004)))
    assert states(edited) == ["missing", "missing"]
    assert [row.n for row in report_study(edited, tmp_path / "out").rows] == [0, 0]
    edited.run(tmp_path / "out")
    assert states(edited) == states(original) == ["finished", "finished"]
    assert len(second_rows() - before) == 1
    stale = removals(tmp_path / "out", original.planned_rows(), "stale")
    assert {removal.path.parent.name for removal in stale} == {"first", "second"}
    assert not {removal.path.name for removal in stale} & before
    shutil.move(tmp_path / "out", tmp_path / "moved")
    assert {one.state for one in find_all(tmp_path / "moved", edited.plan())} == {"finished"}


def test_report_lists_every_row_before_anything_ran(study_file: Write, tmp_path: Path) -> None:
    table = report_study(Study.load(study_file()), tmp_path / "nothing")
    assert [(row.name, row.state) for row in table.rows] == [("resnet_nano", "not run"), ("vit_mini", "not run")]
    assert not (tmp_path / "nothing").exists()


def test_two_peoples_folders_merge(finished: tuple[Path, Path], tmp_path: Path) -> None:
    study, whole = Study.load(finished[0]), finished[1]
    for name, seed in (("mine", 0), ("theirs", 1)):
        shutil.copytree(whole, tmp_path / name)
        for run in find_runs(tmp_path / name):
            if run.spec().seed != seed:
                shutil.rmtree(run.path)
        report_study(study, tmp_path / name)
        assert {key[1] for key in scores(tmp_path / name)} == {seed}
    merged = merge_folders([tmp_path / "mine", tmp_path / "theirs"], tmp_path / "both")
    assert (merged.copied, merged.kept) == (4, 0)
    again = merge_folders([tmp_path / "theirs"], tmp_path / "both")
    assert (again.copied, again.kept) == (0, 2)
    report_study(study, tmp_path / "both")
    assert scores(tmp_path / "both") == scores(whole)


def test_a_merge_forgets_failures_of_what_the_other_has_finished(finished: tuple[Path, Path], tmp_path: Path) -> None:
    whole = finished[1]
    mine = tmp_path / "mine"
    shutil.copytree(whole, mine)
    gone = [run for run in find_runs(mine) if run.spec().model.name == "vit_mini"]
    for run in gone:
        shutil.rmtree(run.path)
    described = json.loads((mine / "study.json").read_text())
    failures = {"0": "no memory on '/home/me/data'"}
    for row in described["rows"]:
        if row["name"] == "vit_mini":
            row |= {"runs": [], "failures": failures}
    write_json(mine / "study.json", described)

    def failed(*sources: Path, into: str) -> Any:
        merge_folders(sources, tmp_path / into, compact=True)
        study = json.loads((tmp_path / into / "study.json").read_text())
        return [row["failures"] for row in study["rows"] if row["name"] == "vit_mini"]

    assert failed(mine, into="alone") == [{"0": "no memory on 'data'"}]
    assert failed(mine, whole, into="both") == [{}]


def test_what_does_not_merge(copied: tuple[Study, Path], study_file: Write, tmp_path: Path) -> None:
    _, out = copied
    other = Study.load(
        study_file(seeds=[0], models=["resnet_nano"], set={"recipe.optimizer.lr": 0.5, "budget.steps": 1})
    )
    other.run(tmp_path / "other")
    with pytest.raises(UserError, match="'resnet_nano' has another setting"):
        merge_folders([tmp_path / "other"], out)
    with pytest.raises(UserError, match="no study"):
        merge_folders([tmp_path], out)


def test_somebody_elses_predictions_are_a_row(copied: tuple[Study, Path]) -> None:
    study, out = copied
    run = next(iter(find_runs(out)))
    result = run.result()
    assert result is not None
    add_predictions(out, "theirs", run.path / "predictions.parquet")
    for table in (build_table(read_study(out)), report_study(study, out)):
        row = table.rows[-1]
        assert row.name == "theirs" and row.top1 is not None
        assert row.top1.value == pytest.approx(result["top1"])
        assert list(table.panels) == [table.rows[0].panel] == [row.panel]
        assert not row.is_baseline and row.to_baseline is not None
    with pytest.raises(UserError, match="is a row of"):
        add_predictions(out, "vit_mini", run.path / "predictions.parquet")
    with pytest.raises(UserError, match="cannot be read"):
        add_predictions(out, "broken", out / "results.csv")


def test_files_of_one_name_are_runs_of_their_own(copied: tuple[Study, Path], tmp_path: Path) -> None:
    """Three people's predictions.parquet are three runs; the same one again is none."""
    study, out = copied
    files = sorted(out.glob("*/*/predictions.parquet"))[:3]
    for file in (*files, files[1]):
        add_predictions(out, "theirs", file)
    (row,) = [row for row in report_study(study, out).rows if row.name == "theirs"]
    assert [path.read_bytes() for path in row.runs.row.predictions] == [path.read_bytes() for path in files]
    shutil.copytree(out, tmp_path / "other")
    merge_folders([tmp_path / "other"], out)
    shutil.copy(files[2], tmp_path / "other" / "foreign" / "theirs" / "predictions.parquet")
    with pytest.raises(UserError, match="differ and have one name"):
        merge_folders([tmp_path / "other"], out)


def test_copies_of_a_run_that_contradict_each_other_do_not_merge(copied: tuple[Study, Path], tmp_path: Path) -> None:
    _, out = copied
    shutil.copytree(out, tmp_path / "other")
    result = find_runs(tmp_path / "other")[0].path / "result.json"
    said = json.loads(result.read_text())
    write_json(result, {**said, "train_seconds": 1.0})
    assert merge_folders([tmp_path / "other"], out).kept == 4
    write_json(result, {**said, "top1": said["top1"] + 1})
    with pytest.raises(UserError, match="the same run with different results: top1"):
        merge_folders([tmp_path / "other"], out)


def other_index(p: Predictions) -> Predictions:
    return replace(p, index=p.index + 1000)


def other_labels(p: Predictions) -> Predictions:
    return replace(p, label=np.roll(p.label, 1))


def fewer(p: Predictions) -> Predictions:
    return Predictions(p.index[:-1], p.label[:-1], p.probabilities[:-1])


def logits(p: Predictions) -> Predictions:
    return replace(p, probabilities=np.log(p.probabilities))


def twice(p: Predictions) -> Predictions:
    return replace(p, index=np.zeros_like(p.index))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (other_index, "its index is another"),
        (other_labels, "the labels of .* images are others"),
        (fewer, "59 images, not 60"),
        (logits, "not between 0 and 1"),
        (twice, "an index twice"),
    ],
)
def test_predictions_of_something_else_do_not_stand_beside_the_rows(
    changed: Callable[[Predictions], Predictions], why: str, copied: tuple[Study, Path], tmp_path: Path
) -> None:
    study, out = copied
    own = next(iter(find_runs(out))).predictions()
    assert own is not None
    write_predictions(tmp_path / "theirs.parquet", changed(own))
    with pytest.raises(UserError, match=why):
        add_predictions(out, "theirs", tmp_path / "theirs.parquet")
    (out / "foreign" / "theirs").mkdir(parents=True)  # put there by hand
    shutil.copy(tmp_path / "theirs.parquet", out / "foreign" / "theirs")
    table = report_study(study, out)
    assert table.rows[-1].top1 is None and re.search(why, table.rows[-1].runs.row.failures[0])
    assert len([panel for panel, comparison in table.panels.items() if comparison.baseline]) == 1


def test_predictions_wait_for_a_run_to_be_held_against(study_file: Write, copied: tuple[Study, Path]) -> None:
    _, out = copied
    theirs = next(iter(find_runs(out))).path / "predictions.parquet"
    for result in out.glob("*/*/result.json"):
        result.unlink()
    with pytest.raises(UserError, match="no run here is finished"):
        add_predictions(out, "theirs", theirs)


def test_pick_names_the_best_row_within_a_budget(copied: tuple[Study, Path]) -> None:
    study, out = copied
    table = report_study(study, out)
    best = max(table.measured, key=lambda row: row.top1.value if row.top1 else 0)
    assert pick(table, {}).best.name == best.name
    small = min(table.measured, key=lambda row: row.means["macs"])
    chosen = pick(table, {"macs": small.means["macs"]})
    assert chosen.best.name == small.name and len(chosen.left_out) == 1
    with pytest.raises(UserError, match="no row keeps the budget"):
        pick(table, {"macs": 10.0})
    larger, limit = max(row.means["macs"] for row in table.measured), small.means["macs"]
    assert chosen.left_out.popitem()[1] == f"{short(larger)} MACs, over {short(limit)}"  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=rf"{re.escape(f'{limit:,} MACs, over {limit - 1:,}')}"):
        pick(table, {"macs": limit - 1})  # what units would hide is said in full


@pytest.mark.parametrize(("text", "value"), [("100M", 1e8), ("1.5G", 1.5e9), ("500k", 5e5), ("250000", 250000)])
def test_quantities(text: str, value: float) -> None:
    assert parse_quantity(text, "--max-macs") == value


@pytest.mark.parametrize("text", ["", "M", "-1", "0", "5 apples"])
def test_quantities_that_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="--max-macs"):
        parse_quantity(text, "--max-macs")


def test_a_ladder_is_made_of_the_runs_that_the_table_counts(copied: tuple[Study, Path], study_file: Write) -> None:
    study, out = copied
    before = {str(run.path) for run in find_runs(out)}
    study.run(out, seeds=[0], only=["resnet_nano"], overrides=["budget.steps=1"], page=False)
    with pytest.raises(UserError, match="budget"):  # a folder of runs, not of a study: nothing says which count
        ladder([out / "resnet_nano"])
    study.run(out, overrides=[], page=False)
    found = ladder([out])
    assert list(found) == ["resnet_nano", "vit_mini"]
    assert {str(run.path) for made in found.values() for run in made.runs} == before


def test_prune_removes_what_no_row_asks_for(copied: tuple[Study, Path]) -> None:
    study, out = copied
    rows: list[PlannedRow] = study.planned_rows()
    assert removals(out, rows, "stale") == []
    before = written(out)
    study.run(out, seeds=[0], only=["resnet_nano"], overrides=["budget.steps=1"])
    stale = removals(out, rows, "stale")
    assert len(stale) == 1 and remove(out, stale) > 0
    assert written(out) == before
    remove(out, removals(out, rows, "checkpoints"))
    assert not list(out.rglob("*.ckpt")) and written(out) == before
    remove(out, removals(out, rows, "rows", ["vit*"]))
    assert {path.split("/")[0] for path in written(out)} == {"resnet_nano"}


def test_a_folder_of_another_science_version_belongs_to_nothing(copied: tuple[Study, Path]) -> None:
    study, out = copied
    run = next(iter(find_runs(out)))
    description: dict[str, Any] = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**description, "identity": "0" * 64}))
    states = [one.state for one in find_all(out, study.plan())]
    assert sorted(states) == ["finished"] * 3 + ["missing"]
    assert RunFolder(run.path).exists()


def test_a_compact_merge_keeps_what_the_table_rests_on(finished: tuple[Path, Path], tmp_path: Path) -> None:
    study, out = Study.load(finished[0]), finished[1]
    merge_folders([out], tmp_path / "kept", compact=True)
    runs = find_runs(tmp_path / "kept")
    files = {"environment.json", "metrics.jsonl", "predictions.parquet", "result.json", "run.json"}
    assert len(runs) == 4 and all({path.name for path in run.path.iterdir()} == files for run in runs)
    for run in runs:
        whole = RunFolder(out / run.path.relative_to(tmp_path / "kept"))
        assert run.result() == whole.result()
        exact, short = whole.predictions(), run.predictions()
        assert exact is not None and short is not None
        assert (short.probabilities.argmax(1) == exact.probabilities.argmax(1)).all()
        assert abs(short.probabilities - exact.probabilities).max() < 2e-3 and short.probabilities.min() > 0
        assert {line["kind"] for line in run.metrics()} == {"epoch"}
    report_study(study, tmp_path / "kept")
    assert scores(tmp_path / "kept") == scores(out)
    assert {one.state for one in find_all(tmp_path / "kept", study.plan())} == {"finished"}


def test_a_reason_kept_in_a_repository_names_no_folder_of_the_machine() -> None:
    why = "no cifar10 in the data folder '/home/me/data'\nor '/data/', not 'here'; 3 / 4"
    assert without_places(why) == "no cifar10 in the data folder 'data'\nor 'data', not 'here'; 3 / 4"


@pytest.mark.parametrize("precision", ["auto", "bf16_if_native", "fp32"])
def test_a_study_merges_with_itself_whatever_its_precision(precision: str, study_file: Write, tmp_path: Path) -> None:
    study = Study.load(study_file(seeds=1, models=["resnet_nano"], set={"recipe.precision": precision}))
    study.run(tmp_path / "out")
    for kept in (0, 1):
        assert merge_folders([tmp_path / "out"], tmp_path / "both").kept == kept


def test_near_ties_keep_their_winner_when_rounded() -> None:
    probabilities = np.array([[0.33301, 0.33339, 0.3336], [0.4996, 0.5004, 0.0], [1.0, 0.0, 0.0]], np.float32)
    short = rounded(Predictions(np.arange(3), np.zeros(3, np.int64), probabilities)).probabilities
    assert short.argmax(1).tolist() == [2, 1, 0]
    assert short[2].tolist() == pytest.approx([1.0, 1e-4, 1e-4])
    assert abs(short - probabilities).max() < 2e-3


def test_a_run_that_may_not_begin_is_left_for_another_time(study_file: Write, tmp_path: Path) -> None:
    study = Study.load(study_file(seeds=1))
    asked: list[str] = []

    def only_vit(run: PlannedRun) -> bool:
        asked.append(run.name)
        return run.row.name == "vit_mini"

    study.run(tmp_path / "out", may_begin=only_vit, page=False)
    assert asked == ["resnet_nano seed 0", "vit_mini seed 0"]
    assert not (tmp_path / "out" / "report.html").exists()
    assert [row.state for row in report_study(study, tmp_path / "out").rows] == ["not run", "measured"]
    rows = json.loads((tmp_path / "out" / "study.json").read_text())["rows"]
    assert [row["failures"] for row in rows] == [{}, {}]
