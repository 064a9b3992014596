"""A run that another machine carries out, without that machine: what is sent, what comes back, what it finds there."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from levelfield.errors import UserError
from levelfield.runs import RunFolder
from levelfield.spec import Distil, RunSpec, StartFrom
from levelfield.studies.running.executor import resolve_here
from levelfield.studies.running.ray_node import carry_out
from levelfield.studies.running.ray_parcel import Parcel, pack, put_files
from levelfield.study import Study
from levelfield.training import train

Write = Callable[..., Path]
PLUGIN = """
import torch, levelfield

@levelfield.register_model("sent_net")
class SentNet(torch.nn.Sequential):
    def __init__(self, num_classes: int = 10):
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(768, num_classes))
"""


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of the other machine."""
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "elsewhere"


def unsent(file: str) -> bytes:
    raise AssertionError("nothing is fetched that is here")


def sent(spec: RunSpec, folder: Path) -> Parcel:
    """As a machine would get it that sees nothing of this one's files."""
    parcel = pack(spec, folder, (str(folder / "no such mark"), b"mark"))
    run = dict(parcel.run)
    run["plugins"] = [{**plugin, "path": f"/not/here/{Path(plugin['path']).name}"} for plugin in run["plugins"]]
    start = None if parcel.start is None else "/not/here/" + Path(parcel.start).name
    teacher = None if parcel.teacher is None else replace(parcel.teacher, weights="/not/here/weights.safetensors")
    return replace(parcel, run=run, directory="/not/here", start=start, teacher=teacher)


class FileThere:
    """Fetches a file, whatever is asked for, in another process too."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, file: str) -> bytes:
        return self.path.read_bytes()


def test_a_machine_that_sees_the_folder_trains_in_it(study_file: Write, elsewhere: Path, tmp_path: Path) -> None:
    spec = resolve_here(Study.load(study_file()).plan()[0].spec)
    (tmp_path / "mark").write_bytes(b"mark")
    outcome = carry_out(pack(spec, tmp_path / "run", (str(tmp_path / "mark"), b"mark")), unsent)
    assert outcome.error is None and outcome.files is None and outcome.seconds > 0
    assert RunFolder(tmp_path / "run").finished and not (elsewhere / "cluster").exists()


def test_elsewhere_a_run_comes_back_as_files(study_file: Write, elsewhere: Path, tmp_path: Path) -> None:
    """With plugin and starting weights brought along: the same weights as a run here, and a run.json that names our
    own paths."""
    (tmp_path / "net.py").write_text(PLUGIN)
    path = study_file(models=["sent_net"], baseline=None, seeds=1)
    spec = resolve_here(Study.load(path).plan(plugins=[str(tmp_path / "net.py")])[0].spec)
    train(spec, tmp_path / "first")
    start = StartFrom(source=str(tmp_path / "first"))
    second = resolve_here(
        spec.model_copy(update={"seed": 1, "model": spec.model.model_copy(update={"start_from": start})})
    )
    train(second, tmp_path / "here")

    folder = tmp_path / "there"
    (folder / "checkpoints").mkdir(parents=True)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as machine:
        weights = FileThere(tmp_path / "first" / "weights.safetensors")
        outcome = machine.submit(carry_out, sent(second, folder), weights).result()
    assert outcome.error is None and outcome.files is not None
    assert {"run.json", "result.json", "weights.safetensors", "predictions.parquet"} <= set(outcome.files)
    assert not [name for name in outcome.files if name.startswith(("checkpoints", "lock"))]
    put_files(outcome.files, folder)
    assert not (folder / "checkpoints").exists()
    assert RunFolder(folder).weights.read_bytes() == RunFolder(tmp_path / "here").weights.read_bytes()
    written = RunFolder(folder).spec()
    assert written.identity() == second.identity() == RunFolder(folder).identity
    assert written.model.start_from is not None and written.model.start_from.source == str(tmp_path / "first")
    assert not list((elsewhere / "cluster").rglob("run.json"))


def test_a_teacher_comes_along_with_its_plugin(study_file: Write, elsewhere: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(PLUGIN)
    path = study_file(models=["sent_net"], baseline=None, seeds=1)
    spec = resolve_here(Study.load(path).plan(plugins=[str(tmp_path / "net.py")])[0].spec)
    train(spec, tmp_path / "first")
    distil = Distil(teacher=str(tmp_path / "first"), form="hard")
    taught = resolve_here(spec.changed({"seed": 1, "recipe.distil": distil}))
    train(taught, tmp_path / "here")
    parcel = sent(taught, tmp_path / "there")
    assert parcel.teacher is not None
    shutil.move(tmp_path / "first", tmp_path / "away")
    (tmp_path / "net.py").unlink()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as machine:
        weights = FileThere(tmp_path / "away" / "weights.safetensors")
        outcome = machine.submit(carry_out, parcel, weights).result()
    assert outcome.error is None and outcome.files is not None, outcome.error
    assert outcome.files["weights.safetensors"] == RunFolder(tmp_path / "here").weights.read_bytes()
    (tmp_path / "there").mkdir()
    put_files(outcome.files, tmp_path / "there")
    written = RunFolder(tmp_path / "there").spec()
    assert written.recipe.distil is not None and written.recipe.distil.teacher == str(tmp_path / "first")


def test_what_stops_a_run_is_told_in_the_words_of_a_run_here(
    study_file: Write, elsewhere: Path, tmp_path: Path
) -> None:
    path = study_file(models=["resnet_nano"], seeds=1, set={"recipe.optimizer.lr": 1e9})
    spec = resolve_here(Study.load(path).plan()[0].spec)
    with pytest.raises(UserError) as here:
        train(spec, tmp_path / "here")
    outcome = carry_out(sent(spec, tmp_path / "there"), unsent)
    assert outcome.error == str(here.value)
    assert outcome.files is not None and b"not finite" in outcome.files["result.json"]


def test_a_machine_with_another_version_of_levelfield_says_so(
    study_file: Write, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = resolve_here(Study.load(study_file()).plan()[0].spec)
    parcel = sent(spec, tmp_path / "there")
    monkeypatch.setattr("levelfield.spec.identity.SCIENCE_VERSION", 0)
    outcome = carry_out(parcel, unsent)
    assert outcome.error is not None and "same version on all machines" in outcome.error
