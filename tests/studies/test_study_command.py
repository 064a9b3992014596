"""`levelfield study` as a user types it: killed and started again, processes side by side, sweeps, JSON, exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from levelfield.cli.study.app import app
from levelfield.errors import UserError
from levelfield.runs import find_runs
from levelfield.studies.declared.published_figures import published_facts, published_row
from levelfield.studies.declared.study_file import list_studies
from levelfield.studies.results.merge import merge_folders
from levelfield.study import Study
from levelfield.tables import build_table, read_study
from levelfield.tables.text.latex import to_latex
from levelfield.tables.text.markdown import to_markdown

Write = Callable[..., Path]


def weights(out: Path) -> dict[str, bytes]:
    return {run.path.name: run.weights.read_bytes() for run in find_runs(out) if run.weights.is_file()}


def call(*arguments: object) -> Any:
    """Run a command in this process; its stdout parsed as JSON where --json is among the arguments."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    return json.loads(result.stdout) if "--json" in arguments else result


def killed_twice(command: list[str], out: Path) -> bool:
    """Start the study, kill it at a new checkpoint, start it again, interrupt it at the next; False where it was done
    before it could be (on a busy machine this process sleeps longer than the study takes)."""

    def checkpoints() -> int:
        return len(list(out.glob("*/*/checkpoints/*.ckpt")))

    for number in (signal.SIGKILL, signal.SIGINT):
        before = checkpoints()
        process = subprocess.Popen([*command, "--out", str(out)], stdout=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 120
        while checkpoints() <= before and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        ended = process.wait(60)
        if ended == 0:
            return False
        assert ended in (-signal.SIGKILL, 130)
        assert len(weights(out)) < 4
    return True


def test_a_study_killed_twice_ends_as_one_left_alone(finished: tuple[Path, Path], tmp_path: Path) -> None:
    path, alone = finished
    command = [sys.executable, "-m", "levelfield", "study", "run", str(path)]
    command += ["--set", "execution.checkpoint_every_steps=1", "--yes", "--json"]
    tries = [tmp_path / str(number) for number in range(4)]
    out = next((out for out in tries if killed_twice(command, out)), None)
    assert out is not None, f"{len(tries)} studies were each done before they could be killed twice"
    command += ["--out", str(out)]
    done = subprocess.run(command, capture_output=True, timeout=300, check=True)
    assert weights(out) == weights(alone)
    rows = {row["row"]: row["top1"] for row in json.loads(done.stdout)["rows"]}
    assert rows == {row["row"]: row["top1"] for row in call("report", path, "--out", alone, "--json")["rows"]}
    resumed = [run.result()["resumed_from"] for run in find_runs(out)]  # type: ignore[index]
    assert any(steps and steps[-1] > 0 for steps in resumed)


def test_runs_in_processes_side_by_side_give_the_same(finished: tuple[Path, Path], tmp_path: Path) -> None:
    path, alone = finished
    Study.load(path).run(tmp_path / "out", seeds=[0], parallel=2)
    losses = [
        {
            run.identity: float(result["loss"])
            for run in find_runs(out)
            if (result := run.result()) and run.spec().seed == 0
        }
        for out in (alone, tmp_path / "out")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)  # other numbers of threads round otherwise
    assert all((run.path / "train.log").is_file() for run in find_runs(tmp_path / "out"))


def test_plan_and_status_say_what_is_done(finished: tuple[Path, Path]) -> None:
    path, out = finished
    plan = call("plan", path, "--out", out, "--seeds", 3, "--json")
    states = [(run["row"], run["seed"], run["state"]) for run in plan["runs"]]
    assert states.count(("vit_mini", 1, "finished")) == 1 and ("vit_mini", 2, "missing") in states
    assert plan["seconds_left"] > 0
    assert all(run["seconds"] > 0 for run in plan["runs"] if run["state"] == "missing")
    status = call("status", path, "--out", out, "--json")
    assert {run["state"] for run in status["runs"]} == {"finished"} and status["seconds_left"] is None
    assert "2/2" in call("status", path, "--out", out).stdout
    assert f"levelfield profile --study {shlex.quote(str(path))}" in build_table(read_study(out)).costs


def test_fewer_seeds_than_there_are_is_said(finished: tuple[Path, Path], tmp_path: Path) -> None:
    path, out = finished
    shutil.copytree(out, tmp_path / "out")
    said = " ".join(call("run", path, "--out", tmp_path / "out", "--seeds", 1, "--yes").stderr.split())
    assert "all runs of 1 seed a row are there: nothing to train; the table keeps the 2 seeds" in said
    assert not (tmp_path / "out" / "looks.json").exists()


def test_the_page_is_named_only_where_it_is_that_of_the_table(finished: tuple[Path, Path]) -> None:
    path, out = finished
    assert "page:" in call("report", path, "--out", out).stdout
    assert "page:" not in call("report", path, "--out", out, "--set", "budget.steps=3").stdout


def test_ctrl_c_ends_the_timing_of_a_plan_and_not_the_plan(
    finished: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(prepared: object) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr("levelfield.training.step_timing.estimate_seconds", interrupted)
    path, out = finished
    result = call("plan", path, "--out", out / "elsewhere", "--seeds", 1)
    assert "timing stopped" in result.stderr and "2 runs: 2 missing" in result.stdout
    assert "left on this machine" not in result.stdout


def test_plan_tells_the_margin_that_is_asked_for(finished: tuple[Path, Path]) -> None:
    path, out = finished
    for said, gaps in ((["--margin", "0.2"], [0.2, 1.0]), ([], [0.5, 1.0]), (["--margin", "1"], [1.0])):
        (needed,) = call("plan", path, "--out", out, "--no-probe", *said, "--json")["to_decide"]
        assert [gap["points"] for gap in needed["gaps"]] == gaps
        assert needed["basis"] == "runs (2)"  # and not the prior, whatever the margin
        seeds = [gap["seeds"] or 1001 for gap in needed["gaps"]]
        assert seeds == sorted(seeds, reverse=True)
    shown = call("plan", path, "--out", out, "--no-probe", "--margin", "0.2").stdout
    assert "0.2 points" in shown and "Prior:" not in shown
    assert "Prior: there are no runs yet" in call("plan", path, "--out", out / "none", "--no-probe").stdout
    with pytest.raises(UserError, match="within 100 points"):
        call("plan", path, "--out", out, "--no-probe", "--margin", "100")


def test_pick_and_rm(finished: tuple[Path, Path]) -> None:
    path, out = finished
    picked = call("pick", path, "--out", out, "--max-macs", "100M", "--json")
    assert picked["row"] in ("resnet_nano", "vit_mini") and picked["macs"] < 100e6
    assert "nothing to remove" in call("rm", path, "--out", out).stdout
    with pytest.raises(UserError, match="--what rows and --row"):
        call("rm", path, "--out", out, "--what", "rows")


def test_a_failed_run_ends_with_code_3(study_file: Write, tmp_path: Path) -> None:
    rows = [{"model": "vit_mini", "name": "bad", "set": {"recipe.optimizer.lr": 1e9}}]
    path = study_file(rows=rows, models=["resnet_nano"], seeds=1)
    result = call("run", path, "--out", tmp_path / "out", "--yes")
    assert result.exit_code == 3
    assert "bad seed 0 failed: the loss is not finite" in call("status", path, "--out", tmp_path / "out").stdout


def test_a_run_that_could_not_begin_ends_with_code_3_too(study_file: Write, tmp_path: Path) -> None:
    rows = [{"model": "vit_mini", "name": "dataless", "data": {"name": "cifar10", "image_size": 32}}]
    path = study_file(rows=rows, models=["resnet_nano"], seeds=1)
    run = ("run", path, "--out", tmp_path / "out", "--data-dir", tmp_path / "nowhere", "--yes")
    result = call(*run)
    assert result.exit_code == 3
    said = " ".join(result.stdout.split())
    assert "dataless: no result of seed 0: the data folder" in said and "levelfield data get cifar10" in said
    status = call("status", path, "--out", tmp_path / "out", "--json")
    states = {one["row"]: (one["state"], one["why"]) for one in status["runs"]}
    assert states["resnet_nano"] == ("finished", "")
    assert states["dataless"][0] == "failed" and "levelfield data get cifar10" in states["dataless"][1]
    planned = call("plan", path, "--out", tmp_path / "out", "--no-probe").stdout
    assert "dataless seed 0 failed: the data folder" in planned and "2 runs: 1 finished, 1 failed" in planned
    assert call(*run, "--row", "resnet_nano").exit_code == 0


def test_a_sweep_gives_every_row_the_same_points_and_leaves_test_alone(study_file: Write, tmp_path: Path) -> None:
    rows = [{"model": "resnet_nano", "name": "untold", "setting_unknown": True}, {"model": "vit_mini", "name": "told"}]
    path = study_file(
        models=None, rows=rows, baseline=None, data={"name": "digits", "image_size": 16, "train_limit": 100}
    )
    out = tmp_path / "out"
    sweeps = call("sweep", path, "--out", out, "--lr-factors", "0.01,1", "--share", 0.5, "--yes", "--json")["sweeps"]
    assert [(sweep["row"], len(sweep["points"])) for sweep in sweeps] == [("untold", 2), ("told", 2)]
    for sweep in sweeps:
        best = max(sweep["points"], key=lambda point: point["val_top1"])
        assert sweep["best"] == best
        assert sweep["edges"] == [
            ("lowest" if best["setting"]["recipe.optimizer.lr"] < 0.001 else "highest") + " learning rate"
        ]
    for run in find_runs(out / "sweep"):
        assert (run.spec().data.validation, run.spec().budget.steps) == (0.1, 3)
    specs = {
        row.name: row.spec.recipe.optimizer.lr
        for row in Study.load(path).planned_rows(tuned=json.loads((out / "tuned.json").read_text()))
    }
    assert specs == {"untold": sweeps[0]["best"]["setting"]["recipe.optimizer.lr"], "told": 0.003}


def test_a_sweep_is_reported_kept_and_used_by_all_rows_of_its_training(study_file: Write, tmp_path: Path) -> None:
    """Two points, whose best lies above their median; two rows of one training, both tuned alike."""
    rows = [{"model": "resnet_nano", "name": name, "setting_unknown": True} for name in ("untold", "the-same")]
    path = study_file(models=None, rows=rows, baseline=None, seeds=1, data={"name": "digits", "image_size": 16})
    out = tmp_path / "out"
    swept = ("sweep", path, "--out", out, "--lr-factors", "0.01,1", "--share", 0.5, "--row", "the-same", "--yes")
    (found,) = call(*swept, "--json")["sweeps"]
    low, high = sorted(point["val_top1"] for point in found["points"])
    assert low < high and found["sensitivity"] == pytest.approx((high - low) / 2)
    assert (found["row"], found["also"]) == ("the-same", ["untold"])
    table = call("run", path, "--out", out, "--yes", "--json")
    assert [(row["row"], row["also"], row["seeds"]) for row in table["rows"]] == [("untold", ["the-same"], 1)]
    (run,) = (run for run in find_runs(out) if run.path.parent.parent == out)
    assert run.spec().recipe.optimizer.lr == found["best"]["setting"]["recipe.optimizer.lr"]
    said = "a sweep of 2 points (3 steps each, seed 1000, 10% of train held out) is best at learning rate "
    said += f"{found['best']['setting']['recipe.optimizer.lr']:g}"
    table = build_table(read_study(out))
    assert table.study.sweeps[0].sensitivity == found["sensitivity"]
    for form in (to_markdown, to_latex):
        assert said in " ".join(form(table).replace("\n% ", " ").split())
    page = (out / "report.html").read_text()
    assert said in page and 'id="sweeps"' in page

    assert "nothing to remove" in call("rm", path, "--out", out).stdout
    call(*swept[:5], "1", *swept[6:])
    assert "nothing to remove" in call("rm", path, "--out", out).stdout  # what was tried before tuned the row, too
    kept = json.loads((out / "sweep.json").read_text())
    assert [len(sweep.pop("earlier")) for sweep in kept] == [1]
    (out / "sweep.json").write_text(json.dumps(kept))
    gone = " ".join(call("rm", path, "--out", out, "--yes").stdout.split())
    assert gone.count("no search on record made it") == 1 and "no row asks" not in gone
    assert "nothing to remove" in call("rm", path, "--out", out).stdout
    merge_folders([out], tmp_path / "kept", compact=True)
    assert build_table(read_study(tmp_path / "kept")).study.sweeps == build_table(read_study(out)).study.sweeps


@pytest.mark.parametrize("name", list_studies())
def test_report_lists_all_rows_of_every_shipped_study(name: str, tmp_path: Path) -> None:
    study = Study.load(name)
    for scale in ("full", *study.scales):
        table = call("report", name, "--scale", scale, "--out", tmp_path / "none", "--json")
        rows = study.planned_rows(scale)
        assert [row["row"] for row in table["rows"]] == list(dict.fromkeys(row.home for row in rows))
        assert {name for row in table["rows"] for name in (row["row"], *row["also"])} == {row.name for row in rows}
        assert all(row["top1"] is None for row in table["rows"])


@pytest.mark.parametrize("name", [name for name in list_studies() if Study.load(name).scales])
def test_scales_have_the_same_rows_and_published_studies_a_size_for_two_cores(name: str) -> None:
    study = Study.load(name)
    if name in published_facts():
        assert "smoke" in study.scales
        assert f"{name}-small" in list_studies() or "cpu" in study.scales
    rows = [row.name for row in study.planned_rows()]
    assert all([row.name for row in study.planned_rows(scale)] == rows for scale in study.scales)


def test_published_figures_stand_beside_their_rows() -> None:
    for name in ("outgrid-cifar100", "convnext-roadmap-fgvc", "rexnet-cifar10", "simple-convnext"):
        rows = {row.published for row in Study.load(name).planned_rows()}
        assert set(published_facts()[name]["rows"]) <= rows
    outgrid = published_row("outgrid-cifar100", "outgrid_7m")
    assert outgrid is not None and (outgrid.data, outgrid.num_classes) == ("cifar100", 100)
    assert outgrid.values["top1"] == 79.72 and outgrid.values["macs"] == pytest.approx(448.02e6)
    assert published_row("quickstart", "vit_mini") is None


@pytest.mark.parametrize("command", ["report", "run", "plan", "sweep"])
def test_a_page_is_no_studys_folder(study_file: Write, tmp_path: Path, command: str) -> None:
    page = tmp_path / "table.html"
    with pytest.raises(UserError, match=r"is no folder, and is the study's folder here(.|\n)*levelfield report FOLDER"):
        call(command, study_file(), "--out", page)
    assert not page.exists()
