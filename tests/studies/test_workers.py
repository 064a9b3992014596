"""Runs in warm workers: each as in a fresh process, whatever the one before it did; what breaks one breaks no other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.runs import FolderLock, RunFolder
from levelfield.spec import RunSpec
from levelfield.studies.running.executor import STOPPED
from levelfield.studies.running.processes import Processes
from levelfield.studies.running.workers import FreshProcesses, Slot, WarmWorker
from levelfield.study import Study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers are warm where forks are safe"),
]

RECIPE = {
    "optimizer": {"name": "adamw", "lr": 0.003},
    "augment": {"crop": {"name": "pad_crop", "padding_px": 1}},
    "batch_size": 64,
    "precision": "fp32",
    "validation": 0,
}
SLOPPY = """
import os, random
import numpy, torch
import levelfield
from torch import nn

@levelfield.register_model("sloppy")
class Sloppy(nn.Module):
    def __init__(self, num_classes=10, image_size=16):
        super().__init__()
        torch.set_default_dtype(torch.float64)  # nothing that it does to its process may reach another run
        torch.set_num_threads(1)
        torch.manual_seed(1); random.seed(1); numpy.random.seed(1)
        os.environ["LEVELFIELD_DATA"] = "/nowhere"
        torch.set_default_dtype(torch.float32)
        torch.nn.Linear.forward, self.kept = (lambda module, x: FACTOR * (x @ module.weight.T)), nn.Linear.forward
        self.net = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, num_classes))

    def forward(self, x):
        return self.net(x)
"""
DEADLY = """
import os, signal
import levelfield
from torch import nn

@levelfield.register_model("deadly")
class Deadly(nn.Module):
    def __init__(self, num_classes=10, image_size=16):
        super().__init__()
        self.net = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, num_classes))

    def forward(self, x):
        if self.training:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.net(x)
"""


def spec(model: str, seed: int = 0, plugin: Path | None = None, **changes: Any) -> RunSpec:
    data = {"name": "digits", "image_size": 16, "train_limit": 200, "test_limit": 60}
    values: dict[str, Any] = {"model": {"name": model}, "data": data, "recipe": RECIPE, "seed": seed}
    values |= {"budget": {"steps": 6}, "plugins": [] if plugin is None else [{"path": str(plugin)}]}
    return RunSpec.parse(values, "test").changed(changes)


def trained(executor: Processes, run: RunSpec, folder: Path) -> bytes:
    """The weights of the run."""
    executor.submit(run, folder, Progress(shown=False)).result(300)
    return RunFolder(folder).weights.read_bytes()


@pytest.fixture
def warm() -> Iterator[Processes]:
    with closing(Processes(2, WarmWorker)) as executor:
        yield executor


def test_a_run_ends_as_in_a_fresh_process_whatever_its_worker_did_before(tmp_path: Path) -> None:
    plugin = tmp_path / "sloppy.py"
    plugin.write_text(SLOPPY.replace("FACTOR", "2"))
    before = spec("sloppy", plugin=plugin)
    run = spec("vit_mini", seed=3)
    with closing(Processes(1, WarmWorker)) as executor:
        one = executor.submit(before.changed({"execution.threads": 1}), tmp_path / "one", Progress(shown=False))
        one.result(300)
        ours = trained(executor, run.changed({"execution.threads": 1}), tmp_path / "ours")
        worker = executor._idle.get()
        assert executor._idle.empty()  # both were trained by it
        executor._idle.put(worker)
    with closing(Processes(1, FreshProcesses)) as executor:
        assert ours == trained(executor, run.changed({"execution.threads": 1}), tmp_path / "fresh")
    results = [RunFolder(tmp_path / name).result() for name in ("ours", "fresh")]
    clocks = ("train_seconds", "compile_seconds", "train_images_per_s", "train_joules", "eval_seconds")
    ours_said, fresh_said = ({k: v for k, v in (result or {}).items() if k not in clocks} for result in results)
    assert ours_said == fresh_said and ours_said["status"] == "finished"
    assert RunFolder(tmp_path / "ours").environment() == RunFolder(tmp_path / "fresh").environment()


def test_a_plugin_that_was_changed_is_another_run(warm: Processes, tmp_path: Path) -> None:
    plugin, weights = tmp_path / "sloppy.py", []
    for factor in ("2", "3"):
        plugin.write_text(SLOPPY.replace("FACTOR", factor))
        weights.append(trained(warm, spec("sloppy", plugin=plugin), tmp_path / factor))
    assert weights[0] != weights[1]
    assert RunFolder(tmp_path / "2").identity != RunFolder(tmp_path / "3").identity


def test_a_run_that_dies_takes_none_with_it(warm: Processes, tmp_path: Path) -> None:
    plugin = tmp_path / "deadly.py"
    plugin.write_text(DEADLY)
    dies = warm.submit(spec("deadly", plugin=plugin), tmp_path / "dies", Progress(shown=False))
    bad = warm.submit(spec("resnet_nano", **{"data.name": "nosuch"}), tmp_path / "bad", Progress(shown=False))
    with pytest.raises(UserError, match="ended by SIGKILL; the machine may have run out of memory"):
        dies.result(300)
    with pytest.raises(UserError, match="unknown data set 'nosuch'"):
        bad.result(300)
    assert trained(warm, spec("resnet_nano"), tmp_path / "next")


def test_a_run_that_was_stopped_goes_on_to_the_same_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("levelfield.studies.running.processes.GRACE_S", 0.0)
    run = spec("resnet_nano", **{"budget.steps": 60, "execution.checkpoint_every_steps": 1})
    executor = Processes(2, WarmWorker)
    future = executor.submit(run, tmp_path / "run", Progress(shown=False))
    deadline = time.monotonic() + 120
    while not list((tmp_path / "run").glob("checkpoints/*.ckpt")):
        assert not future.done() and time.monotonic() < deadline
        time.sleep(0.005)
    executor.close()
    with pytest.raises(UserError, match=STOPPED):
        future.result()
    assert RunFolder(tmp_path / "run").result() is None
    with closing(Processes(2, WarmWorker)) as executor:
        resumed = trained(executor, run, tmp_path / "run")
        assert resumed == trained(executor, run, tmp_path / "alone")
    assert max((RunFolder(tmp_path / "run").result() or {})["resumed_from"]) > 0


def test_a_worker_that_ended_is_replaced(tmp_path: Path) -> None:
    made: list[WarmWorker] = []

    def new(threads: int) -> Slot:
        made.append(WarmWorker(threads))
        return made[-1]

    with closing(Processes(1, new)) as executor:
        trained(executor, spec("resnet_nano"), tmp_path / "a")
        made[0]._process.send_signal(signal.SIGKILL)
        made[0]._process.wait()
        assert trained(executor, spec("resnet_nano", 1), tmp_path / "b")
    assert len(made) == 2


def test_a_killed_worker_leaves_no_run_behind(tmp_path: Path) -> None:
    made: list[WarmWorker] = []

    def new(threads: int) -> Slot:
        made.append(WarmWorker(threads))
        return made[-1]

    run = spec("resnet_nano", **{"budget.steps": 5000, "execution.checkpoint_every_steps": 1})
    with closing(Processes(1, new)) as executor:
        future = executor.submit(run, tmp_path / "run", Progress(shown=False))
        deadline = time.monotonic() + 120
        while not list((tmp_path / "run").glob("checkpoints/*.ckpt")):
            assert not future.done() and time.monotonic() < deadline
            time.sleep(0.01)
        made[0]._process.kill()
        with pytest.raises(UserError, match="ended by SIGKILL"):
            future.result(60)
        while time.monotonic() < deadline:  # it writes a checkpoint and ends
            with suppress(UserError), FolderLock(tmp_path / "run"):
                break
            time.sleep(0.05)
        else:
            pytest.fail("the run goes on without its worker")
    assert RunFolder(tmp_path / "run").result() is None


STUDY = """
import sys
from pathlib import Path
from levelfield.progress import Progress
from levelfield.spec import RunSpec
from levelfield.studies.running.processes import Processes
from levelfield.studies.running.workers import WarmWorker

run = RunSpec.model_validate_json(Path(sys.argv[1]).read_text())
Processes(1, WarmWorker).submit(run, Path(sys.argv[2]), Progress(shown=False)).result(300)
"""


def test_a_killed_study_leaves_no_run_behind(tmp_path: Path) -> None:
    config, folder = tmp_path / "run.json", tmp_path / "run"
    changes = {"budget.steps": 5000, "execution.checkpoint_every_steps": 1}
    config.write_text(spec("resnet_nano", **changes).model_dump_json())
    study = subprocess.Popen([sys.executable, "-c", STUDY, str(config), str(folder)])
    deadline = time.monotonic() + 120
    while not list(folder.glob("checkpoints/*.ckpt")):
        assert study.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    study.kill()
    study.wait()
    while time.monotonic() < deadline:  # its worker sees it, and the run writes a checkpoint and ends
        with suppress(UserError), FolderLock(folder):
            break
        time.sleep(0.05)
    else:
        pytest.fail("the run goes on without its study")
    assert RunFolder(folder).result() is None


def test_what_runs_print_reaches_their_log_and_never_the_answers(tmp_path: Path) -> None:
    plugin = tmp_path / "loud.py"
    plugin.write_text(DEADLY.replace("os.kill(os.getpid(), signal.SIGKILL)", "print('aloud', flush=True)"))
    config = tmp_path / "run" / "config.json"
    config.parent.mkdir()
    config.write_text(spec("deadly", plugin=plugin).model_dump_json())
    asked = json.dumps({"config": str(config), "folder": str(config.parent)}) + "\n"
    command = [sys.executable, "-m", "levelfield.studies.running.warm_worker"]
    said = subprocess.run(command, input=asked.encode(), capture_output=True, timeout=300, check=True)
    assert said.stdout == b"0\n"
    assert "aloud" in (config.parent / "train.log").read_text()


def test_a_study_in_two_workers_stopped_by_ctrl_c_ends_as_one_left_alone(
    study_file: Callable[..., Path], tmp_path: Path
) -> None:
    path, out = study_file(), tmp_path / "out"
    run = "import sys; from levelfield.study import Study; "
    run += "Study.load(sys.argv[1]).run(sys.argv[2], parallel=2, page=False, overrides=sys.argv[3:])"
    command = [sys.executable, "-c", run, str(path)]
    changes = ["execution.checkpoint_every_steps=1", "execution.threads=1"]
    process = subprocess.Popen([*command, str(out), *changes], stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(out.glob("*/*/checkpoints/*.ckpt")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) != 0
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # no worker and no run is left
    subprocess.run([*command, str(out), *changes], timeout=300, check=True)
    Study.load(path).run(tmp_path / "alone", page=False, overrides=changes)

    def weights(folder: Path) -> dict[str, bytes]:
        return {str(file.relative_to(folder)): file.read_bytes() for file in folder.glob("*/*/weights.safetensors")}

    assert len(weights(out)) == 4 and weights(out) == weights(tmp_path / "alone")
