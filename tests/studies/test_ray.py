"""A study on a real Ray cluster of two nodes on this machine: one is killed in the middle, the table is the same.

Needs Ray (requirements-ray.txt). Without it these tests skip, unless REQUIRE_RAY=1.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from levelfield.errors import UserError
from levelfield.native.libraries import library_path, variant_in_use
from levelfield.progress import Progress
from levelfield.runs import RunFolder, find_runs
from levelfield.studies.running import ray_cluster
from levelfield.studies.running.ray_cluster import RayCluster
from levelfield.studies.running.ray_parcel import pack
from levelfield.studies.running.searches_of_rows import search
from levelfield.studies.running.sweep import run_sweep
from levelfield.study import Study
from levelfield.tables.table import StudyTable
from levelfield.tables.text.records import records
from needed import need

pytestmark = pytest.mark.xdist_group("ray")  # one cluster for all of them
Write = Callable[..., Path]
MEMORY = {"object_store_memory": 80 * 2**20}
CLOCKED = ("train_seconds",)
"""What a table says of the machine: no two runs agree on it."""
STEPS = ["budget.steps=30", "execution.threads=1"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A head and one more node, each with one CPU."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    need("ray", of="RAY")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEVELFIELD_CACHE", str(cache_with_loops(tmp_path_factory.mktemp("cache"))))
        quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
        head = {"num_cpus": 1, "include_dashboard": False, "_system_config": quick, **MEMORY}
        nodes = Cluster(initialize_head=True, head_node_args=head)
        nodes.add_node(num_cpus=1, **MEMORY)
        yield nodes
        nodes.shutdown()


def cache_with_loops(cache: Path) -> Path:
    """`cache` with the C++ loops of this machine: what runs on the nodes and what runs here take the same ones."""
    if (loops := library_path().parent).is_dir():
        (cache / "native").symlink_to(loops, target_is_directory=True)
    return cache


def without_clocks(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in CLOCKED} for row in rows]


def weights(out: Path) -> dict[str, bytes]:
    return {str(run.path.relative_to(out)): run.weights.read_bytes() for run in find_runs(out)}


def running_below(raylet: int, out: Path) -> int | None:
    """The process that trains on the node of `raylet`, once it has written a checkpoint."""
    for run in find_runs(out):
        pid = int((run.path / "lock").read_text().split()[1])
        if run.result() is None and any(run.checkpoints.glob("*.ckpt")) and parent_of(pid) == raylet:
            return pid
    return None


def parent_of(pid: int) -> int | None:
    stat = Path(f"/proc/{pid}/stat")
    return int(stat.read_text().rpartition(")")[2].split()[1]) if stat.exists() else None


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    deadline = time.monotonic() + 120
    while not (value := condition()):
        assert process.poll() is None, f"ended with {process.returncode}: {process.communicate()[1]}"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return value


def test_a_study_that_loses_a_node_ends_with_the_table_of_one_left_alone(
    cluster: Any, study_file: Write, tmp_path: Path
) -> None:
    path, out = study_file(), tmp_path / "out"
    command = [sys.executable, "-m", "levelfield", "study", "run", str(path), "--out", str(out), "--json"]
    command += ["--on", "ray", "--address", cluster.address, "--cpus-per-run", "1"]
    for change in (*STEPS, "execution.checkpoint_every_steps=2"):
        command += ["--set", change]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    (node,) = cluster.worker_nodes
    raylet = node.all_processes["raylet"][0].process.pid
    worker = wait_for(lambda: running_below(raylet, out), process)
    for pid in (raylet, worker):
        os.kill(pid, signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=240)
    cluster.remove_node(node, allow_graceful=False)
    assert process.returncode == 0, stderr
    assert "was lost; begun again on" in stderr and "attempt 2 of 4" in stderr
    alone = Study.load(path).run(tmp_path / "alone", overrides=STEPS)
    loops = {json.loads((run.path / "environment.json").read_text())["cpp_loops"] for run in find_runs(out)}
    assert loops == {variant_in_use()}
    assert without_clocks(json.loads(stdout)["rows"]) == without_clocks(records(alone))
    assert weights(out) == weights(tmp_path / "alone")


@pytest.mark.parametrize(
    ("address", "resources", "words"),
    [
        ("127.0.0.1:1", {}, "no Ray cluster answers at 127.0.0.1:1"),
        ("head", {}, "is not HOST:PORT"),
        (None, {"cpus": 99}, "no node of the Ray cluster has 99 CPUs for a run; the largest has 1 CPUs"),
        (None, {"gpus": 1}, "has 1 CPUs and 1 GPUs"),
    ],
)
def test_what_cannot_be_joined(cluster: Any, address: str | None, resources: dict[str, int], words: str) -> None:
    """Without `joined`: these stand before the tests that use it."""
    import ray

    assert not ray.is_initialized()
    with pytest.raises(UserError) as caught:
        RayCluster(address or cluster.address, **resources)
    assert words in str(caught.value) and len(str(caught.value).splitlines()) <= 2
    assert not ray.is_initialized()


@pytest.fixture(scope="module")
def joined(cluster: Any) -> Iterator[None]:
    """This process as part of the cluster, so that its workers serve several tests."""
    import ray

    ray.init(cluster.address, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.parametrize("shared", [True, False])
def test_a_sweep_prunes_there_as_it_does_here(
    joined: None, shared: bool, study_file: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials stop at their rung with word of it, and go on from there, also where the study's folder is not seen."""
    if not shared:
        monkeypatch.setattr(ray_cluster, "pack", lambda spec, folder, mark: pack(spec, folder, ("/not/here", b"")))
    space = {"recipe.optimizer.lr": {"log": [0.0003, 0.1]}}
    study = Study.load(study_file(
        models=["resnet_nano"], budget={"epochs": 3}, set={"execution.threads": 1},
        tuning={"trials": 3, "space": space, "rungs": [1], "reduction": 2},
    ))  # fmt: skip
    assert study.tuning is not None
    rows = study.planned_rows(tuned={})

    def swept(out: Path, executor: RayCluster | None = None) -> list[tuple[str, float | None, float]]:
        searches = search(rows, {row.home: [row.name] for row in rows}, study.tuning, study.name)
        (found,) = run_sweep(out, searches, Progress(shown=False), executor)
        return [(trial.state, trial.val_top1, trial.epochs) for trial in found.points]

    there, here = swept(tmp_path / "there", RayCluster()), swept(tmp_path / "here")
    assert there == here and {state for state, _, _ in here} == {"finished", "pruned"}
    assert (tmp_path / "there/tuned.json").read_bytes() == (tmp_path / "here/tuned.json").read_bytes()


def test_without_a_shared_folder_finished_runs_come_back(
    joined: None, study_file: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a second stage, a failing row and a user's own model."""
    monkeypatch.setattr(ray_cluster, "pack", lambda spec, folder, mark: pack(spec, folder, ("/not/here", b"")))
    net = tmp_path / "net.py"
    net.write_text(
        "import torch, levelfield\n@levelfield.register_model('own_net')\nclass OwnNet(torch.nn.Sequential):\n"
        "    def __init__(self, num_classes=10):\n"
        "        super().__init__(torch.nn.Flatten(), torch.nn.Linear(768, num_classes))\n"
    )
    rows = [
        {"model": "own_net", "name": "first"},
        {"model": "own_net", "name": "second", "after": "first", "set": {"budget.steps": 3}},
        {"model": "resnet_nano", "name": "bad", "set": {"recipe.optimizer.lr": 1e9}},
    ]
    study = Study.load(study_file(models=None, baseline=None, rows=rows, seeds=1))

    def table(out: Path, executor: RayCluster | None = None) -> StudyTable:
        return study.run(out, executor=executor, overrides=["execution.threads=1"], plugins=[str(net)])

    there, here = table(tmp_path / "there", RayCluster()), table(tmp_path / "here")
    assert without_clocks(records(there)) == without_clocks(records(here))
    kept = [json.loads((tmp_path / name / "study.json").read_text())["rows"] for name in ("there", "here")]
    failures = [{row["name"]: row["failures"] for row in rows} for rows in kept]
    assert failures[0] == failures[1] and [name for name, seeds in failures[0].items() if seeds] == ["bad"]
    assert "not finite" in failures[0]["bad"]["0"]
    assert not list((tmp_path / "there").rglob("*.ckpt")) and not list((tmp_path / "there").glob("*/.*"))


@pytest.mark.parametrize("heard", [True, False], ids=["heard", "not heard yet"])
def test_closing_stops_runs_with_a_checkpoint(
    joined: None, study_file: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: bool
) -> None:
    """A checkpoint that takes its time, too, where the study has not taken in yet that the runs were begun."""
    if not heard:
        monkeypatch.setattr(RayCluster, "_begun", lambda executor, name, node: None)
    net = tmp_path / "slow.py"
    net.write_text(
        f"import time, torch, levelfield\n@levelfield.register_model('slow_{heard}')\nclass Net(torch.nn.Sequential):\n"
        "    def __init__(self, num_classes=10):\n"
        "        super().__init__(torch.nn.Flatten(), torch.nn.Linear(768, num_classes))\n"
        "    def state_dict(self, *args, **options):\n"
        "        time.sleep(3)\n        return super().state_dict(*args, **options)\n"
    )
    rows = [{"model": f"slow_{heard}", "set": {"budget.steps": 100_000, "execution.log_every_steps": 2}}]
    plan = Study.load(study_file(models=None, baseline=None, rows=rows)).plan(plugins=[str(net)])
    folders = [RunFolder(tmp_path / "out" / "row" / f"seed{run.seed}") for run in plan]
    executor = RayCluster()
    futures = [
        executor.submit(executor.resolve(run.spec), folder.path, Progress(shown=False))
        for run, folder in zip(plan, folders, strict=True)
    ]
    deadline = time.monotonic() + 120
    while not any(folder.metrics() for folder in folders):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    executor.close()
    reasons = [str(future.exception()) for future in futures]
    written = [any(folder.checkpoints.glob("*.ckpt")) for folder in folders]
    assert any(written)
    assert reasons == ["stopped on request" + (", a checkpoint is written" if each else "") for each in written]
    assert not list((tmp_path / "out").rglob(".*"))


def test_a_run_that_does_not_stop_in_time_is_dropped_and_settled(
    joined: None, study_file: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "STOP_S", 0.0)
    endless = {"budget.steps": 100_000, "execution.log_every_steps": 2}
    (run,) = Study.load(study_file(models=["resnet_nano"], baseline=None, seeds=1, set=endless)).plan()
    folder = RunFolder(tmp_path / "out" / "row" / "seed0")
    executor = RayCluster()
    future = executor.submit(executor.resolve(run.spec), folder.path, Progress(shown=False))
    deadline = time.monotonic() + 120
    while not folder.metrics():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    executor.close()
    assert future.done() and str(future.exception()) == "stopped on request"


def test_without_ray_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"levelfield\[ray\]"):
        RayCluster()


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--address", "a:1"], "add --on ray"), (["--on", "ray", "--parallel", "2"], "--parallel belongs to --on local")],
)
def test_options_that_do_not_belong_together(study_file: Write, tmp_path: Path, options: list[str], words: str) -> None:
    from typer.testing import CliRunner

    from levelfield.cli.study.app import app

    result = CliRunner().invoke(app, ["run", str(study_file()), "--out", str(tmp_path / "out"), *options])
    assert isinstance(result.exception, UserError) and words in str(result.exception)
