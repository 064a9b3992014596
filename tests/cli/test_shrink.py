"""`levelfield shrink`: the study that makes a finished run smaller has that run as its first row."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from levelfield.cli import export as export_command
from levelfield.cli import shrink as shrink_command
from levelfield.cli.app import app
from levelfield.errors import UserError
from levelfield.runs import RunFolder
from levelfield.spec import Distil, RunSpec, StartFrom
from levelfield.studies.results.run_folders import differences
from levelfield.studies.running.profile_networks import study_subjects
from levelfield.study import Study
from levelfield.tables import build_table, read_study
from levelfield.training import prepare, train_prepared
from needed import need

SMALL: dict[str, Any] = {
    "model": {"name": "resnet_nano", "options": {"width_factor": 0.5}},
    "data": {"name": "digits", "image_size": 16, "train_limit": 200, "test_limit": 60, "validation": 0.1},
    "recipe": {
        "name": "mine", "batch_size": 32, "precision": "fp32", "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
        "schedule": {"name": "linear", "warmup": {"epochs": 0.5}}, "augment": {"crop": {"name": "pad_crop"}},
        "phases": [{"at_epoch": 1, "optimizer": {"lr": 0.01}, "schedule": {"name": "constant"}}],
    },
    "budget": {"epochs": 2},
    "execution": {"device": "cpu", "threads": 1, "loggers": []},
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shrink") / "run"
    train_prepared(prepare(RunSpec.parse(SMALL, "run")), out)
    return out


def shrink(*words: Any) -> Any:
    found = CliRunner().invoke(app, ["shrink", *map(str, words)])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found


def test_the_first_row_is_the_run_and_the_others_differ_as_asked(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shrink(finished, "--prune", 0.5, "--distil", finished, "--only-write", "--seeds", 1)
    study = Study.load("shrink-resnet_nano.yaml")
    rows = {run.row.name: run.spec for run in study.plan()}
    assert list(rows) == ["whole", "taught", "whole-longer", "pruned-50"]  # in the order of training
    run = RunFolder(finished).spec()
    assert differences(rows["whole"], run) == []
    assert differences(rows["taught"], run) == ["recipe.distil"]
    pruned, longer = rows["pruned-50"], rows["whole-longer"]
    assert pruned.recipe.prune is not None and pruned.recipe.prune.share == 0.5
    assert differences(pruned, longer) == ["recipe.prune"]
    assert pruned.budget.epochs == 1 and pruned.recipe.optimizer.lr == pytest.approx(0.01)
    table = study.run(tmp_path / "out", page=False)
    assert [row.n for row in table.rows] == [1] * 4
    assert not [found for found in table.audit.findings if found.severity == "unfair"]
    (one,) = (tmp_path / "out/pruned-50").glob("seed0-*")
    result = RunFolder(one).result()
    assert result is not None and 0.45 < result["pruned_params"] / result["params"] < 0.5


def test_a_row_has_fewer_channels(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("torch_pruning")
    monkeypatch.chdir(tmp_path)
    said = shrink(finished, "--prune-channels", 0.4, "--seeds", 1, "--out", "out", "--yes")
    assert "cannot be run" not in said.stderr
    study = Study.load("shrink-resnet_nano.yaml")
    rows = {run.row.name: run.spec for run in study.plan()}
    assert list(rows) == ["whole", "whole-longer", "channels-40"]
    assert differences(rows["channels-40"], rows["whole-longer"]) == ["recipe.prune_channels"]
    table = study.run(tmp_path / "out", page=False)
    assert [row.n for row in table.rows] == [1] * 3
    assert not [found for found in table.audit.findings if found.severity == "unfair"]
    folders = {name: next((tmp_path / "out" / name).glob("seed0-*")) for name in rows}
    for file in ("result.json", "weights.safetensors"):  # times among them: it was not trained again
        assert (folders["whole"] / file).read_bytes() == (finished / file).read_bytes()
    assert "whole, seed 0: " in said.stderr and "is not trained again" in said.stderr
    macs = {name: (RunFolder(folder).result() or {})["macs"] for name, folder in folders.items()}
    assert macs["whole"] == macs["whole-longer"] and 0.4 < macs["channels-40"] / macs["whole"] <= 0.6
    networks, left_out = study_subjects("shrink-resnet_nano.yaml", into=tmp_path / "out")
    assert [(one.label, one.channels) for one in networks] == [
        ("whole", None), ("channels-40", RunFolder(folders["channels-40"]).spec().model.channels),
    ] and left_out == []  # fmt: skip
    networks, left_out = study_subjects("shrink-resnet_nano.yaml")  # before it is trained
    assert [one.label for one in networks] == ["whole"] and left_out == ["channels-40"]


def test_a_run_that_was_taught_gets_another_teacher_and_starts_where_it_started(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the run's own recipe says of its own teacher stays with the row that is the run as it is."""
    monkeypatch.chdir(tmp_path)
    recipe = {**SMALL["recipe"], "schedule": {"name": "linear"}, "phases": []}
    run = RunSpec.parse({**SMALL, "recipe": recipe, "budget": {"epochs": 0.5}}, "run")
    keys = {"recipe.distil": Distil(teacher=str(finished)), "model.start_from": StartFrom(source=str(finished))}
    train_prepared(prepare(run.changed(keys)), Path("mine"))
    train_prepared(prepare(run.changed({"seed": 3})), Path("other"))
    shrink("mine", "--prune", 0.5, "--distil", "other", "--only-write", "--seeds", 1)
    assert "&id" not in Path("shrink-resnet_nano.yaml").read_text(encoding="utf-8")
    plan = Study.load("shrink-resnet_nano.yaml").plan()
    rows = {each.row.name: each.spec for each in plan}
    mine = RunFolder(Path("mine"))
    assert prepare(rows["whole"]).identity == mine.identity
    assert differences(rows["whole"], mine.spec()) == []
    taught = prepare(rows["taught"]).spec
    assert taught.recipe.distil is not None
    assert taught.recipe.distil.teacher_identity == RunFolder(Path("other")).identity
    assert all(key.startswith("recipe.distil.teacher_") for key in differences(taught, mine.spec()))
    assert {each.row.home for each in plan} == set(rows)
    assert rows["pruned-50"].budget.epochs == 0.5  # never longer than the run
    with pytest.raises(UserError, match=r"--distil .*: it has taught this run already"):
        shrink("mine", "--distil", finished, "--only-write")


def test_int8_is_an_export(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[Any] = []
    monkeypatch.setattr(export_command, "export", lambda run, **given: asked.append((run, given)))
    shrink(finished, "--int8")
    out = Path(f"exports/shrink-resnet_nano-int8-{RunFolder(finished).identity[:8]}")
    assert asked == [(finished, {"to": "onnx", "out": out, "int8": True, "allow_loss": True, "data_dir": None})]
    assert f"--int8 --out {out}" in shrink(finished, "--int8", "--only-write").stderr
    assert len(asked) == 1 and list(tmp_path.iterdir()) == []

    def lossy(run: Path, **given: Any) -> None:
        tested = {"images": 1000, "right_in_torch": 900, "right": 896}
        held = {"identity": "", "weights": "", "precision": "int8", "tested": tested}
        given["out"].mkdir(parents=True)
        (given["out"] / "export.json").write_text(json.dumps(held), encoding="utf-8")

    with monkeypatch.context() as patch:  # what a table is to show does not stop at what it shows
        patch.setattr(export_command, "export", lossy)
        said = " ".join(shrink(finished, "--int8").stderr.split())
        assert f"{out} has 4 of 1,000 test images fewer right than PyTorch, more than 0.3 points: kept" in said

    other = tmp_path / "other"
    shutil.copytree(finished, other)
    description = {**RunFolder(other).description(), "identity": "another run of the same model"}
    (other / "run.json").write_text(json.dumps(description), encoding="utf-8")
    shrink(other, "--int8")
    assert asked[1][1]["out"] not in (out, *out.parents)


def test_the_study_of_another_run_is_not_written_over(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shrink(finished, "--prune", 0.5, "--only-write")
    shrink(finished, "--prune", 0.3, "--quantize-aware", "--only-write", "--seeds", 1)  # asked again otherwise
    before = Path("shrink-resnet_nano.yaml").read_text(encoding="utf-8")
    for key, value in (("data.train_limit", 150), ("recipe.optimizer.lr", 0.2), ("model.options", {})):
        shutil.copytree(finished, "other", dirs_exist_ok=True)
        other = RunFolder(Path("other"))
        changed = other.spec().changed({key: value})
        described = {**RunFolder(finished).description(), "run": changed.model_dump(mode="json")}
        (other.path / "run.json").write_text(json.dumps(described), encoding="utf-8")
        with pytest.raises(UserError, match=r"shrink-resnet_nano.yaml shrinks another run of resnet_nano"):
            shrink("other", "--prune", 0.5, "--only-write")
        assert Path("shrink-resnet_nano.yaml").read_text(encoding="utf-8") == before
        shutil.copy(finished / "run.json", other.path / "run.json")
    shrink("other", "--prune", 0.5, "--only-write", "--file", "mine.yaml")

    described = {**RunFolder(finished).description(), "reproducible": "not reproducible by name"}
    Path("other/run.json").write_text(json.dumps(described), encoding="utf-8")
    for option in (["--int8"], ["--prune", 0.5]):
        with pytest.raises(UserError, match="other trained your own network or data, which no command finds again"):
            shrink("other", *option)


def test_bad_input_is_named(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "a.recipe.yaml").write_text("name: of my own", encoding="utf-8")
    for words, said in (
        ([finished], "say how the run is to shrink: --int8, .*, --quantize-aware or --distil TEACHER; together, too"),
        ([finished, "--prune", 50], "--prune 50 is no share of the weights: give one between 0 and 1"),
        ([finished, "--prune-channels", 1], "--prune-channels 1 is no share of the multiply-accumulates"),
        ([finished, "--distil", tmp_path], "--distil: .* is not a run folder"),
        ([finished, "--prune", 0.5, "--file", "study.txt"], "study.txt must end in .yaml"),
        ([finished, "--prune", 0.5, "--file", tmp_path / "a.yaml"], "a.recipe.yaml is there already"),
    ):
        with pytest.raises(UserError, match=said):
            shrink(*words)


def test_a_row_is_trained_on_to_int8_and_exported(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("onnxruntime")
    monkeypatch.chdir(tmp_path)
    asked: list[Any] = []
    monkeypatch.setattr(export_command, "export", lambda run, **given: asked.append((run, given)))
    said = shrink(finished, "--quantize-aware", "--int8", "--seeds", 2, "--out", "out", "--yes").stderr
    study = Study.load("shrink-resnet_nano.yaml")
    rows = {run.row.name: run.spec for run in study.plan()}
    assert list(rows) == ["whole", "whole-longer", "quantized"]
    assert differences(rows["quantized"], rows["whole-longer"]) == ["recipe.quantize_aware"]
    table = build_table(read_study(tmp_path / "out"))
    assert [row.n for row in table.rows] == [2] * 3
    assert not [found for found in table.audit.findings if found.severity == "unfair"]
    runs = {name: sorted((tmp_path / "out" / name).glob("seed*")) for name in ("whole", "quantized")}
    by_name = {run.name: run for of_row in runs.values() for run in of_row}
    assert asked[0][0] == finished  # before the study is trained
    assert [run.name for run, _ in asked[1:]] == [run.name for of_row in runs.values() for run in of_row]
    outs = []
    for run, given in asked[1:]:
        row, identity = run.parent.name, RunFolder(by_name[run.name]).identity
        outs.append(f"exports/shrink-resnet_nano{'-quantized' * (row == 'quantized')}-int8-{identity[:8]}")
        assert (given["int8"], given["out"]) == (True, Path(outs[-1]))
        assert row == "whole" or (RunFolder(run).result() or {})["quantized_layers"] > 0
    assert f"levelfield analyze compression out {' '.join(outs)}" in said

    def exported(run: Path, **given: Any) -> None:
        asked.append((run, given))
        given["out"].mkdir(parents=True, exist_ok=True)
        held = {"identity": RunFolder(run).identity, "weights": RunFolder(run).weights_digest(), "precision": "int8"}
        calibration = RunFolder(run).calibration() or {"temperature": 1.0}
        (given["out"] / "export.json").write_text(json.dumps(held | calibration), encoding="utf-8")

    monkeypatch.setattr(export_command, "export", exported)
    for _ in range(2):  # what is exported stays
        asked.clear()
        shrink(finished, "--quantize-aware", "--seeds", 2, "--out", "out", "--yes")
    assert asked == []
    (runs["quantized"][0] / "calibration.json").write_text('{"temperature": 1.5}', encoding="utf-8")
    shrink(finished, "--quantize-aware", "--seeds", 2, "--out", "out", "--yes")
    assert [run.name for run, _ in asked] == [runs["quantized"][0].name]  # its probabilities are others by now
    said = shrink(finished, "--quantize-aware", "--only-write", "--file", "again.yaml").stderr
    assert "levelfield export runs/again/quantized/RUN --to onnx --int8 --out exports/again-quantized-int8" in said


def test_where_runs_failed_it_is_said_that_no_file_was_made(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def failed(*_: Any, **__: Any) -> None:
        raise typer.Exit(3)

    monkeypatch.setattr(shrink_command, "run_written", failed)
    told = CliRunner().invoke(app, ["shrink", str(finished), "--quantize-aware", "--yes"])
    assert told.exit_code == 3 and "the same command does once all runs are there" in told.stderr
    told = CliRunner().invoke(app, ["shrink", str(finished), "--prune", "0.5", "--file", "other.yaml", "--yes"])
    assert told.exit_code == 3 and "int8" not in told.stderr
