"""Equal trials for every row: what is declared, what is tried, what is pruned, and that it survives being stopped."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from levelfield.cli.study.app import app
from levelfield.errors import UserError
from levelfield.page.sections.sweeps import costs
from levelfield.progress import Progress
from levelfield.runs import find_runs
from levelfield.spec import RunSpec
from levelfield.statistics.best_of_trials import EqualTrials
from levelfield.statistics.halving import goes_on
from levelfield.studies.declared.tuning import Axis, Tuning
from levelfield.studies.running.searches_of_rows import search
from levelfield.studies.running.sweep import run_sweep, save
from levelfield.studies.running.trials_so_far import TrialsSoFar
from levelfield.study import Study
from levelfield.tables import build_table, read_study
from levelfield.tables.best_of_trials import pair_in_words, sweep_in_words
from levelfield.tables.sweep import LR, State, Sweep, Trial, as_json, from_json
from levelfield.tables.sweeps import join_sweeps, read_sweeps, swept_runs
from needed import need

Write = Callable[..., Path]
SPACE = {LR: {"log": [0.0003, 0.1]}, "recipe.regularisation.label_smoothing": {"choice": [0.0, 0.1]}}
SMALL = {"data": {"name": "digits", "image_size": 16, "train_limit": 100, "test_limit": 40}, "seeds": 1,
         "budget": {"epochs": 2}}  # fmt: skip


def call(*arguments: object) -> Any:
    """Run a command in this process; its stdout parsed as JSON where --json is among the arguments."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    return json.loads(result.stdout) if "--json" in arguments else result


def swept(path: Path, out: Path, **how: Any) -> list[Sweep]:
    """The study's search, carried out."""
    study = Study.load(path)
    rows = study.planned_rows(tuned={})
    assert study.tuning is not None
    searches = search(rows, {row.home: [row.name] for row in rows}, study.tuning, study.name)
    return run_sweep(out, searches, Progress(shown=False), **how)


def test_every_row_tries_the_same_and_is_compared_at_its_best_with_other_seeds(
    study_file: Write, tmp_path: Path
) -> None:
    path, out = study_file(**SMALL, tuning={"trials": 3, "space": SPACE}), tmp_path / "out"
    answer = call("sweep", path, "--out", out, "--yes", "--json")
    tried = {each["row"]: [point["setting"] for point in each["points"]] for each in answer["sweeps"]}
    assert tried["resnet_nano"] == tried["vit_mini"] and len(tried["vit_mini"]) == 3
    for each in answer["sweeps"]:
        assert each["best"]["val_top1"] == max(point["val_top1"] for point in each["points"])
        assert each["cost"]["epochs"] == 6 and each["cost"]["trials"] == 3
        images = sum(point["images"] for point in each["points"])
        assert images == 3 * 2 * 100 and each["cost"]["training_macs"] == 3 * each["macs"] * images
        assert [one["k"] for one in each["expected_best"]] == [1, 2, 3]
    assert [(pair["a"], pair["b"], pair["k"]) for pair in answer["pairs"]] == [("resnet_nano", "vit_mini", 1)]
    for run in find_runs(out / "sweep"):
        spec = run.spec()
        assert (spec.seed, spec.data.validation, spec.recipe.selection) == (1000, 0.1, "last")
    table = call("run", path, "--out", out, "--yes", "--json")
    for run in find_runs(out):
        if run.path.parent.parent == out:
            spec = run.spec()
            best = next(each["best"] for each in answer["sweeps"] if each["row"] == spec.model.name)["setting"]
            assert spec.recipe.optimizer.lr == best[LR] and spec.seed == 0
            assert spec.recipe.regularisation.label_smoothing == best["recipe.regularisation.label_smoothing"]
    found = {finding["check"]: finding for finding in table["audit"]["findings"] if finding["severity"] == "passed"}
    assert "3 trials of 2 epochs for each of resnet_nano and vit_mini" in found["tuning"]["text"]
    assert not [one for one in table["audit"]["findings"] if one["severity"] == "unfair"]
    page = (out / "report.html").read_text()
    assert all(f'id="{key}"' in page for key in ("sweeps", "sweeps-best", "sweeps-knob-0", "sweeps-knob-1"))
    assert "What tuning cost and found" in page


def test_another_search_of_a_row_keeps_what_was_tried_before_in_its_cost(study_file: Write, tmp_path: Path) -> None:
    path, out = study_file(**SMALL, models=["resnet_nano", "vit_mini"]), tmp_path / "out"
    call("sweep", path, "--out", out, "--trials", 2, "--share", 1, "--yes")
    (more, _) = call("sweep", path, "--out", out, "--trials", 3, "--share", 1, "--yes", "--json")["sweeps"]
    assert not more["earlier"] and more["cost"]["trials"] == 3  # the same draw went on: a trial counts once
    grid = ("sweep", path, "--out", out, "--row", "resnet_nano", "--lr-factors", "1,3", "--share", "0.5", "--yes")
    (other,) = call(*grid, "--json")["sweeps"]
    assert len(other["points"]) == 2 and len(other["earlier"]) == 3
    assert other["cost"]["trials"] == 5 and other["cost"]["epochs"] == 3 * 2 + 2 * 1
    assert other["best"]["run"] in {point["run"] for point in other["points"]}
    swept = {sweep.rows[0]: sweep for sweep in read_sweeps(out)}
    assert swept["resnet_nano"].epochs == 8 and not swept["vit_mini"].earlier
    assert "3 trials of other searches in this folder" in sweep_in_words(swept["resnet_nano"])
    again = call(*grid)
    assert "the cost holds 3 trials of other searches in this folder too" in " ".join(again.output.split())
    assert swept_runs(out) == {run.path for run in find_runs(out / "sweep")}  # no trial is called unasked for


def sweep_of(*rows: str, lrs: Sequence[float], macs: int | None, images: int = 10, **more: Any) -> Sweep:
    points = tuple(Trial({LR: lr}, 50.0, run=f"{rows[0]}-{lr}", images=images, epochs=1.0) for lr in lrs)
    return Sweep(rows, points, macs=macs, **more)


def test_every_search_costs_what_its_own_network_does() -> None:
    """Of a row whose network was changed between two searches, and of one whose last trials all failed."""
    first = sweep_of("row", lrs=[0.1, 0.2], macs=100)
    second = sweep_of("row", lrs=[0.3], macs=1000).after([first])
    assert second.training_macs == 3 * (2 * 10 * 100 + 10 * 1000)
    assert from_json(json.loads(json.dumps(as_json(second)))).training_macs == second.training_macs
    third = sweep_of("row", lrs=[0.4], macs=None, images=0).after([second])
    assert third.training_macs == second.training_macs
    assert (
        sweep_of("row", lrs=[0.4], macs=None).after([second]).training_macs is None
    )  # what the last cost is not known


def test_who_leads_in_a_sentence_leads_by_its_sign() -> None:
    both = (
        EqualTrials("a", "b", 1, -63.5, -81.0, -46.0, 0.001, True),
        EqualTrials("a", "b", 2, -61.0, -100.0, 62.0, 0.4, False),
    )
    told = pair_in_words(both)
    assert told == (
        "b beats a if both may try 1 (+63.50 points [+46.00, +81.00]); not distinguishable if both may try 2 "
        "(+61.00 points [−62.00, +100.00])."
    )
    turned = EqualTrials("a", "b", 1, -2.0, -3.0, -1.0, 0.01, True), EqualTrials("a", "b", 5, 2.0, 1.0, 3.0, 0.01, True)
    assert "a beats b if both may try 5 (+2.00 points [+1.00, +3.00])" in pair_in_words(turned)
    open_ = EqualTrials("a", "b", 1, -2.0, -5.0, 1.0, 0.3, False)
    assert pair_in_words([open_]) == "a and b are not distinguishable if both may try 1 (−2.00 points [−5.00, +1.00])."


def test_searches_of_two_folders_are_joined_whichever_comes_first(tmp_path: Path) -> None:
    """And a row that shared its search with one that is searched anew keeps the record."""
    ours = sweep_of("a", "b", lrs=[0.1, 0.2], macs=100)
    theirs = sweep_of("a", lrs=[0.1], macs=100)
    folders = [tmp_path / "ours", tmp_path / "theirs"]
    for folder, sweep in zip(folders, (ours, theirs), strict=True):
        folder.mkdir()
        (folder / "sweep.json").write_text(json.dumps([as_json(sweep)]))
    for one, other in (folders, reversed(folders)):
        joined = [from_json(each) for each in join_sweeps(one, other)]
        by_row = {name: sweep for sweep in joined for name in sweep.rows}
        assert set(by_row) == {"a", "b"} and {name: len(by_row[name].paid) for name in "ab"} == {"a": 2, "b": 2}


def test_a_row_that_is_not_searched_again_keeps_the_record_it_shared(tmp_path: Path) -> None:
    save(tmp_path, [sweep_of("a", "b", lrs=[0.1, 0.2], macs=100)])
    save(tmp_path, [sweep_of("a", lrs=[0.3], macs=100)])
    kept = {sweep.rows: len(sweep.paid) for sweep in read_sweeps(tmp_path)}
    assert kept == {("b",): 2, ("a",): 3}
    tuned = json.loads((tmp_path / "tuned.json").read_text())
    assert tuned == {"a": {LR: 0.3}, "b": {LR: 0.1}}


def test_the_page_counts_all_that_was_tried_for_a_row() -> None:
    """What other searches pruned and what failed there, too."""

    def tried(number: int, state: State) -> Trial:
        return Trial({LR: number}, 50.0 if state == "finished" else None, state, run=f"run{number}", epochs=1.0)

    own = (tried(1, "finished"), tried(2, "failed"))
    earlier = (tried(3, "pruned"), tried(4, "failed"), tried(5, "finished"))
    html = costs([Sweep(("row",), own, earlier=earlier)])
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html)
    assert cells[:4] == ["5", "1", "2", "5"]


def test_pruning_follows_the_rule_and_is_the_same_in_processes(study_file: Write, tmp_path: Path) -> None:
    tuning = {"trials": 4, "space": SPACE, "rungs": [1], "reduction": 2}
    path = study_file(**SMALL | {"budget": {"epochs": 3}}, tuning=tuning)
    here, there = swept(path, tmp_path / "here"), swept(path, tmp_path / "there", parallel=2)
    for one, other in zip(here, there, strict=True):
        assert [(p.setting, p.state, p.val_top1) for p in one.points] == [
            (p.setting, p.state, p.val_top1) for p in other.points
        ]
        shown = []
        for point in one.points:
            (run,) = (run for run in find_runs(tmp_path / "here" / "sweep") if run.path.as_posix().endswith(point.run))
            shown.append(
                next(line["val_top1"] for line in run.metrics() if line.get("epoch") == 1 and "val_top1" in line)
            )
            assert point.state == ("finished" if goes_on(shown, 2) else "pruned")
            assert point.epochs == (3 if point.state == "finished" else 1)
            assert run.finished is (point.state == "finished")
    assert any(sweep.count("pruned") for sweep in here)
    assert json.loads((tmp_path / "here/tuned.json").read_text()) == json.loads(
        (tmp_path / "there/tuned.json").read_text()
    )


def test_what_is_left_of_a_sweep_leaves_out_what_ended_and_what_was_pruned(study_file: Write, tmp_path: Path) -> None:
    need("optuna")
    tuning = {"trials": 5, "space": SPACE, "sampler": "tpe", "rungs": [1], "share": 1.0}
    path, out = study_file(**SMALL, tuning=tuning, models=["resnet_nano"]), tmp_path / "out"
    study = Study.load(path)
    (row,) = study.planned_rows(tuned={})
    assert study.tuning is not None
    (one,) = search([row], {row.home: [row.name]}, study.tuning, study.name)
    assert TrialsSoFar(out / "sweep").left(one) == 5
    (found,) = swept(path, out)
    assert found.count("pruned") and TrialsSoFar(out / "sweep").left(one) == 0
    last = next(number for number in range(4, -1, -1) if found.points[number].state == "finished")
    shutil.rmtree(out / "sweep" / found.points[last].run)
    (again,) = search([row], {row.home: [row.name]}, study.tuning, study.name)
    after = sum(point.state == "finished" for point in found.points[last + 1 :])
    assert after == 0 and 1 <= TrialsSoFar(out / "sweep").left(again) <= 5 - last
    call("sweep", path, "--out", out, "--yes")
    assert TrialsSoFar(out / "sweep").left(again) == 0


def test_a_sweep_that_is_stopped_goes_on_and_finds_the_same(study_file: Write, tmp_path: Path) -> None:
    """Interrupted at its first checkpoints, killed at later ones: what it finds in the end is what it would have."""
    tuning = {"trials": 3, "space": SPACE, "rungs": [1], "reduction": 2}
    path = study_file(**SMALL | {"budget": {"epochs": 3}}, tuning=tuning)
    whole = swept(path, tmp_path / "whole")
    out = tmp_path / "stopped"
    command = [sys.executable, "-m", "levelfield", "study", "sweep", str(path), "--out", str(out), "--yes"]
    stopped = 0
    for number in (signal.SIGINT, signal.SIGKILL):
        before = len(list(out.glob("sweep/*/*/checkpoints/*.ckpt")))
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + 120
        while len(list(out.glob("sweep/*/*/checkpoints/*.ckpt"))) <= before and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        if process.poll() is None:
            os.killpg(process.pid, number)
        stopped += process.wait(60) != 0
    if not stopped:
        pytest.skip("it was done before it could be stopped")
    found = swept(path, out)
    assert [[(p.setting, p.state, p.val_top1) for p in one.points] for one in found] == [
        [(p.setting, p.state, p.val_top1) for p in one.points] for one in whole
    ]
    assert (out / "tuned.json").read_bytes() == (tmp_path / "whole/tuned.json").read_bytes()


def test_a_trial_that_diverges_is_a_trial_that_was_made(study_file: Write, tmp_path: Path) -> None:
    space = {LR: {"choice": [0.003, 1e30]}}
    path = study_file(**SMALL, models=["resnet_nano"], tuning={"trials": 2, "space": space})
    (found,) = swept(path, tmp_path)
    assert sorted(point.state for point in found.points) == ["failed", "finished"]
    (failed,) = (point for point in found.points if point.state == "failed")
    assert "not finite" in failed.why and failed.val_top1 is None and 0.0 in found.scores()
    assert found.best is not None and found.best.setting == {LR: 0.003}
    runs = {run.path: run.path.stat().st_mtime for run in find_runs(tmp_path)}
    assert swept(path, tmp_path)[0] == found and runs == {p.path: p.path.stat().st_mtime for p in find_runs(tmp_path)}


def test_axes_say_what_a_coordinate_stands_for() -> None:
    assert [Axis(log=(0.001, 0.1)).value(unit, None) for unit in (0.0, 0.5, 0.75)] == [0.001, 0.01, 0.03162]
    assert [Axis(linear=(0.0, 2.0)).value(unit, None) for unit in (0.0, 0.25)] == [0.0, 0.5]
    assert [Axis(times=(0.1, 10.0)).value(unit, 0.02) for unit in (0.0, 0.5)] == [0.002, 0.02]
    assert [Axis(choice=("a", "b", "c")).value(unit, None) for unit in (0.0, 0.4, 0.99)] == ["a", "b", "c"]
    spec = RunSpec.parse({"model": {"name": "a"}, "data": {"name": "b"}, "budget": {"epochs": 1}})
    tuning = Tuning(space={LR: Axis(times=(0.5, 2.0)), "recipe.mix.mixup_alpha": Axis(linear=(0.0, 1.0))})
    setting = tuning.setting((0.5, 0.2), spec)
    assert setting == {LR: spec.recipe.optimizer.lr, "recipe.mix.mixup_alpha": 0.2}
    assert len(tuning.units()) == 5 and tuning.units() == tuning.changed({"trials": 9}).units()[:5]


@pytest.mark.parametrize(
    ("tuning", "said"),
    [
        ({"space": {}}, "space"),
        ({"space": {"recipe.optimizer.lrr": {"log": [0.1, 1]}}}, "did you mean 'recipe.optimizer.lr'"),
        ({"space": {"budget.epochs": {"linear": [1, 2]}}}, "cannot be tuned; name keys of the recipe"),
        ({"space": {"recipe.validation": {"linear": [0.1, 0.2]}}}, "cannot be tuned"),
        ({"space": {LR: {"log": [0.1, 0.01]}}}, "the first value must be below the second"),
        ({"space": {LR: {"log": [0, 1]}}}, "greater than 0"),
        ({"space": {LR: {"log": [0.1, 1], "linear": [0, 1]}}}, "exactly one of log, linear, times, choice"),
        ({"space": {LR: {"choice": [1]}}}, "two values or more"),
        ({"space": SPACE, "rungs": [3, 1]}, "rungs must ascend"),
        ({"space": SPACE, "validation": 0}, "judged on held-out images, never on test"),
        ({"space": SPACE, "trials": 0}, "greater than 0"),
    ],
)
def test_what_cannot_be_tuned_is_said_when_the_study_is_read(
    tuning: dict[str, Any], said: str, study_file: Write
) -> None:
    with pytest.raises(UserError, match=said):
        Study.load(study_file(tuning=tuning))


def test_values_that_a_recipe_cannot_have_and_seeds_that_judge_are_refused_before_training(
    study_file: Write, tmp_path: Path
) -> None:
    path = study_file(tuning={"space": {"recipe.batch_size": {"linear": [8, 9.5]}}})
    with pytest.raises(UserError, match=r"tuning of row resnet_nano, trial 0: recipe.batch_size"):
        call("sweep", path, "--out", tmp_path / "out", "--yes")
    path = study_file(tuning={"space": {"recipe.mix.mixup_alpha": {"times": [0.5, 2]}}})
    with pytest.raises(UserError, match=r"mixup_alpha of resnet_nano is 0.0, of which no factor makes another value"):
        call("sweep", path, "--out", tmp_path / "out", "--yes")
    path = study_file(tuning={"space": SPACE}, seeds=[0, 1000])
    with pytest.raises(UserError, match="compares seed 1000, by which sweeps choose settings"):
        call("sweep", path, "--out", tmp_path / "out", "--yes")
    path = study_file(tuning={"space": SPACE})
    with pytest.raises(UserError, match="--lr-factors and --weight-decays make a grid; give one of them"):
        call("sweep", path, "--out", tmp_path / "out", "--trials", "3", "--lr-factors", "1,3", "--yes")
    assert not (tmp_path / "out" / "sweep").exists()


def test_before_its_search_a_study_says_that_its_rows_are_not_tuned(study_file: Write, tmp_path: Path) -> None:
    path, out = study_file(**SMALL, tuning={"trials": 2, "space": SPACE}), tmp_path / "out"
    first = "not tuned: resnet_nano and vit_mini, trained at the recipe's own setting; "
    first += (
        f"`levelfield study sweep {path} --out {out}` first tries 2 settings of every row, 4 trials not counted here"
    )
    planned = call("plan", path, "--out", out, "--no-probe")
    assert first in " ".join(planned.stdout.split())
    assert call("plan", path, "--out", out, "--no-probe", "--json")["not_tuned"] == ["resnet_nano", "vit_mini"]
    ran = call("run", path, "--out", out, "--yes")
    assert first in " ".join(ran.stderr.split())
    assert first not in call("run", path, "--out", out, "--yes").stderr
    table = build_table(read_study(out))
    (found,) = (finding for finding in table.audit.findings if finding.check == "tuning")
    assert found.severity == "differs" and "that was not made: resnet_nano and vit_mini use" in found.text
    assert any("not tuned" in note for note in table.rows[0].runs.row.notes)


def test_rows_tuned_by_another_search_than_is_declared_now_are_named(study_file: Write, tmp_path: Path) -> None:
    """Where the study file was edited after its search: in the plan, before a run, and in the table."""
    out = tmp_path / "out"
    call("sweep", study_file(**SMALL, tuning={"trials": 2, "space": SPACE}), "--out", out, "--yes")
    plain = call("plan", study_file(**SMALL, tuning={"trials": 2, "space": SPACE}), "--out", out, "--no-probe").stdout
    assert "another search" not in plain
    for other in ({"trials": 3, "space": SPACE}, {"trials": 2, "space": {LR: {"log": [0.001, 0.1]}}}):
        path = study_file(**SMALL, tuning=other)
        said = " ".join(call("plan", path, "--out", out, "--no-probe").stdout.split())
        assert (
            "tuned by another search than the study declares: resnet_nano and vit_mini; `levelfield study sweep" in said
        )
        table = call("report", path, "--out", out).stdout
        assert "tuned by another search than the study declares now" in " ".join(table.split())


def test_a_sweep_whose_data_set_is_misspelt_is_refused_before_anything_is_timed(
    study_file: Write, tmp_path: Path
) -> None:
    path = study_file(**SMALL | {"data": {"name": "digit", "image_size": 16}}, tuning={"trials": 2, "space": SPACE})
    for what in ("sweep", "run"):
        with pytest.raises(UserError, match="unknown data set 'digit': did you mean 'digits'"):
            call(what, path, "--out", tmp_path / "out", "--yes")
    assert not list(tmp_path.glob("out/**/*.json"))


def test_a_table_without_runs_names_the_command_that_makes_them_in_its_folder(
    study_file: Write, tmp_path: Path
) -> None:
    path, out = study_file(**SMALL), tmp_path / "out"
    assert f"levelfield study run {path} --out {out}" in call("report", path, "--out", out).stderr.replace("\n", " ")


def test_a_search_that_has_not_ended_is_said_to_be_one(study_file: Write, tmp_path: Path) -> None:
    path, out = study_file(**SMALL, tuning={"trials": 1, "space": SPACE}), tmp_path / "out"
    said = " ".join(call("sweep", path, "--out", out, "--row", "vit_mini", "--yes").stdout.split())
    assert "resnet_nano is not tuned yet: the audit calls untuned rows beside tuned ones unfair" in said
    (out / "tuned.json").unlink()  # as if it had been interrupted before it ended
    with pytest.raises(UserError, match="holds the trials of a sweep, and no study was run in it yet"):
        call("status", out)
    said = " ".join(call("report", path, "--out", out).stdout.split())
    assert "vit_mini: not tuned, as the search has not ended (`levelfield study sweep` goes on)" in said
    assert "resnet_nano: not tuned, as `levelfield study sweep` has not been run" in said


def test_what_a_sweep_found_for_rows_that_keep_their_own_setting_is_said_to_be_unused(
    study_file: Write, tmp_path: Path
) -> None:
    path, out = study_file(**SMALL | {"budget": {"steps": 2}}, models=["resnet_nano"]), tmp_path / "out"
    said = " ".join(call("sweep", path, "--out", out, "--lr-factors", "1", "--share", 0.5, "--yes").stdout.split())
    assert "No row takes these settings" in said and "now compares" not in said
    said = " ".join(call("report", path, "--out", out).stdout.split())
    assert "a sweep of 1 point (1 step each," in said and "it cost 1 trial, 1 epoch, " in said
    assert "resnet_nano: the recipe's own setting is used, not what the sweep found" in said


def test_without_a_declared_search_five_learning_rates_are_tried_and_known_settings_kept(
    study_file: Write, tmp_path: Path
) -> None:
    path = study_file(**SMALL | {"budget": {"steps": 8}}, models=["resnet_nano"])
    (found,) = call("sweep", path, "--out", tmp_path / "out", "--yes", "--json")["sweeps"]
    rates = [point["setting"][LR] for point in found["points"]]
    assert len(set(rates)) == 5 and min(rates) >= 0.0003 and max(rates) <= 0.03
    assert {run.spec().budget.steps for run in find_runs(tmp_path / "out")} == {2}
    tuned = json.loads((tmp_path / "out" / "tuned.json").read_text())
    (row,) = Study.load(path).planned_rows(tuned=tuned)
    assert row.spec.recipe.optimizer.lr == 0.003


def test_a_sweep_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    old = {"rows": ["a"], "setting": "3 steps each", "best": None, "edges": [], "sensitivity": None,
           "points": [{"lr": 0.1, "weight_decay": 0.0, "val_top1": 50.0, "why": "", "run": "a-lr0.1-wd0/seed1000-0"},
                      {"lr": 0.3, "weight_decay": 0.0, "val_top1": None, "why": "not finite", "run": ""}]}  # fmt: skip
    (tmp_path / "sweep.json").write_text(json.dumps([old]))
    (found,) = read_sweeps(tmp_path)
    assert found == from_json(old) and found.best == found.points[0] and found.count("failed") == 1
    assert found.edges == ("lowest learning rate",) and found.points[1].why == "not finite"


def test_tpe_says_what_it_needs(study_file: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    path = study_file(**SMALL, tuning={"trials": 5, "space": SPACE, "sampler": "tpe"})
    with pytest.raises(UserError, match=r"sampler tpe needs Optuna: pip install 'levelfield\[tune\]'"):
        swept(path, tmp_path / "none")


def test_tpe_draws_the_first_half_alike_and_the_rest_from_what_a_row_has_shown(
    study_file: Write, tmp_path: Path
) -> None:
    need("optuna")
    path = study_file(**SMALL, tuning={"trials": 5, "space": SPACE, "sampler": "tpe"})
    one, other = swept(path, tmp_path / "one"), swept(path, tmp_path / "other", parallel=2)
    a, b = ([point.setting for point in sweep.points] for sweep in one)
    assert a[:3] == b[:3] and a[3:] != b[3:] and len(a) == 5
    assert [[p.setting for p in sweep.points] for sweep in other] == [a, b]
    assert call("run", path, "--out", tmp_path / "one", "--yes").exit_code == 0
    table = build_table(read_study(tmp_path / "one"))
    assert [f.severity for f in table.audit.findings if f.check == "tuning" and f.severity != "differs"] == ["passed"]
