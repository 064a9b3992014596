"""One run from its specification to its folder, stopped and gone on with, failed, and read back."""

from __future__ import annotations

import errno
import math
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_run import run_spec, stop_after

import levelfield as lf
from levelfield.errors import UserError
from levelfield.page.run_learning_curve import write_learning_curve
from levelfield.progress import Progress
from levelfield.runs import FAILURES, FolderLock, RunFolder
from levelfield.runs import folder as folder_module
from levelfield.training import Interrupted, NonFiniteLossError, prepare, train_prepared
from levelfield.training.checkpoint_file import load_newest, save_checkpoint
from levelfield.training.processes import World
from levelfield.training.record_failed_run import ended_by
from levelfield.training.steps_and_phases import make_plan

Start = Callable[..., subprocess.Popen[str]]
RESULT_KEYS = [
    "model",
    "data",
    "seed",
    "top1",
    "top3",
    "top5",
    "loss",
    "f1_macro",
    "params",
    "trainable_params",
    "param_mib",
    "macs",
    "flops",
    "train_seconds",
    "compile_seconds",
    "train_images_per_s",
    "eval_seconds",
    "epochs_done",
    "samples_seen",
    "resumed_from",
    "status",
    "identity",
]


def test_a_run_writes_its_folder_and_is_never_trained_again(tmp_path: Path) -> None:
    prepared = prepare(run_spec("budget.epochs=5"))
    first = train_prepared(prepared, tmp_path / "run")
    folder = first.folder
    assert [key for key in RESULT_KEYS if key not in first.result] == []
    assert first.result["top1"] > 60  # chance is 10
    assert first.result["flops"] == 2 * first.result["macs"] > 0
    assert (first.result["samples_seen"], first.result["epochs_done"]) == (1000, 5.0)
    assert first.result["identity"] == folder.identity == prepared.identity
    assert first.result["resumed_from"] == []
    predictions = folder.predictions()
    assert predictions is not None
    top1 = 100 * (predictions.probabilities.argmax(1) == predictions.label).mean()
    assert top1 == pytest.approx(first.result["top1"])
    written = (folder.path / "result.json").stat().st_mtime_ns
    again = train_prepared(prepared, tmp_path / "run")
    assert again.result == first.result
    assert (folder.path / "result.json").stat().st_mtime_ns == written


def test_the_files_of_a_run_are_those_that_the_documents_list(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run = train_prepared(prepare(run_spec("budget.epochs=1", "execution.loggers=[tensorboard]")), tmp_path / "run")
    write_learning_curve(run.folder)
    there = {path.name + "/" * path.is_dir() for path in run.folder.path.iterdir()}
    page = (Path(__file__).parents[2] / "docs" / "reference" / "runs.md").read_text(encoding="utf-8")
    table = page.split("**The run folder**")[1].split("\n\n")[1]
    assert sorted(re.findall(r"^\| `(\S+)` ", table, re.M)) == sorted(there | {FAILURES})  # none failed
    listed = (folder_module.__doc__ or "").split("```")[1]
    assert sorted(re.findall(r"^(\S+) ", listed, re.M)) == sorted(there | {FAILURES})


def test_equal_runs_have_equal_bytes_and_other_seeds_other_ones(tmp_path: Path) -> None:
    weights = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train_prepared(prepare(run_spec(f"seed={seed}")), tmp_path / name)
        weights[name] = (tmp_path / name / "weights.safetensors").read_bytes()
    assert weights["a"] == weights["b"] != weights["c"]


@pytest.mark.parametrize("recipe", ["plain", "everything"])
def test_stopping_and_going_on_changes_no_byte(tmp_path: Path, recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = [] if recipe == "plain" else [
        "recipe.averaging={name: ema, decay: 0.9}", "recipe.mix={mixup_alpha: 0.8, cutmix_alpha: 1.0}",
        "recipe.regularisation={label_smoothing: 0.1, drop_path: 0.1, clip_norm: 1.0}", "recipe.validation=0.2",
        "recipe.selection=best_validation", "model.name=outgrid_nano",
        "recipe.phases=[{at_epoch: 1, optimizer: {name: sgdp, lr: 0.05, momentum: 0.9}}]",
    ]  # fmt: skip
    spec = run_spec(*changes)
    whole = train_prepared(prepare(spec), tmp_path / "whole")
    stop_after([3, 7, 1, 100], monkeypatch)
    for _ in range(3):
        with pytest.raises(Interrupted):
            train_prepared(prepare(spec), tmp_path / "pieces")
    pieces = train_prepared(prepare(spec), tmp_path / "pieces")
    assert pieces.result["resumed_from"] == [3, 10, 11]
    assert (tmp_path / "pieces/weights.safetensors").read_bytes() == whole.folder.weights.read_bytes()
    noisy = {"images_per_s", "train_seconds", "train_joules"}
    strip = [[{k: v for k, v in line.items() if k not in noisy} for line in run.history] for run in (whole, pieces)]
    epochs = [[line for line in lines if line["kind"] == "epoch"] for lines in strip]
    assert epochs[0] == epochs[1]


def test_killed_again_and_again_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """kill -9 at scattered instants of start-up, training, validation, saving and testing: no byte changes."""
    spec = run_spec("budget.epochs=20", "execution.checkpoint_every_steps=5", "recipe.validation=0.2")
    prepared = prepare(spec)
    began = time.monotonic()
    whole = train_prepared(prepared, tmp_path / "whole")
    whole_s = time.monotonic() - began
    out, kills = tmp_path / "killed", 0
    delays = random.Random(0)
    for _ in range(200):
        child = os.fork()  # a process of its own, without the seconds that importing torch takes
        if child == 0:
            os.setsid()
            try:
                train_prepared(prepared, out)
            finally:
                os._exit(0)
        deadline = time.monotonic() + delays.uniform(0.01, 0.3) * whole_s
        ended = 0
        while not ended and (kills >= 20 or time.monotonic() < deadline):
            ended, _ = os.waitpid(child, os.WNOHANG)
            time.sleep(0.001)
        if ended:
            break
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
    result = RunFolder(out).result()
    assert result is not None and kills >= 3  # on a busy machine the first run took longer than those that follow
    assert (out / "weights.safetensors").read_bytes() == whole.folder.weights.read_bytes()
    assert result["top1"] == whole.result["top1"]
    resumed = result["resumed_from"]  # never from zero once there is a checkpoint
    assert (
        resumed == sorted(resumed) and resumed[-1] > 0
    )  # from the newest checkpoint, never from zero once there is one
    assert [line for line in RunFolder(out).metrics() if line["kind"] == "epoch"][-1]["epoch"] == 20


def test_ctrl_c_writes_a_checkpoint_first(tmp_path: Path, start: Start) -> None:
    process = start(run_spec("budget.epochs=2000"), tmp_path / "run")
    metrics = tmp_path / "run" / "metrics.jsonl"
    begin = time.monotonic()
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() - begin < 60:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on where it stopped" in errors and "Traceback" not in errors
    state, notes = load_newest(tmp_path / "run" / "checkpoints", RunFolder(tmp_path / "run").identity)
    assert state is not None and state["step"] > 0 and notes == []


def test_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    for step in (5, 10, 15):
        save_checkpoint(tmp_path, step, {"identity": "me", "step": step, "x": torch.arange(9)}, keep=2)
    newest = tmp_path / "step-000000015.ckpt"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000010.ckpt", newest.name]
    data = bytearray(newest.read_bytes())
    data[-40] ^= 1
    newest.write_bytes(bytes(data))
    state, notes = load_newest(tmp_path, "me")
    assert state is not None and state["step"] == 10
    assert len(notes) == 1 and "step-000000015.ckpt is damaged" in notes[0]
    with pytest.raises(UserError, match="another run"):
        load_newest(tmp_path, "somebody else")


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    spec = run_spec(
        "recipe.optimizer={name: sgd, lr: 1.0e18}", "execution.log_every_steps=1", "execution.checkpoint_every_steps=1"
    )
    with pytest.raises(NonFiniteLossError, match="not finite at step") as seen:
        train_prepared(prepare(spec), tmp_path / "run")
    step, rate = re.findall(r"at step (\d+) \(learning rate (\S+)\)", str(seen.value))[0]
    plan = make_plan(spec.recipe, spec.budget, 200)
    assert float(rate) == pytest.approx(plan.phases[0].learning_rate(int(step) - 1, plan.steps_per_epoch), rel=1e-2)
    result = RunFolder(tmp_path / "run").result()
    assert result is not None and result["status"].startswith("failed: the loss is not finite")
    assert result["top1"] is None
    state, _ = load_newest(tmp_path / "run" / "checkpoints", prepare(spec).identity)
    assert ("the last good checkpoint is kept" in str(seen.value)) == (state is not None)
    if state is not None:
        assert math.isfinite(float(state["interval"][0]))


def test_no_checkpoint_is_said_to_be_kept_where_there_is_none(tmp_path: Path) -> None:
    spec = run_spec("recipe.optimizer={name: sgd, lr: 1.0e18}", "execution.log_every_steps=1")
    with pytest.raises(NonFiniteLossError, match="not finite at step") as seen:
        train_prepared(prepare(spec), tmp_path / "run")
    assert not list((tmp_path / "run" / "checkpoints").glob("*")) and "checkpoint" not in str(seen.value)


NARROW = """
import json, resource, sys
from levelfield.errors import UserError
from levelfield.spec import RunSpec
from levelfield.training import prepare, train_prepared

prepared = prepare(RunSpec.parse(json.loads(sys.argv[1])))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 700 * 2**20,) * 2)
try:
    train_prepared(prepared, __import__("pathlib").Path(sys.argv[2]))
except UserError as error:
    print(error)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits a process's memory as Linux does")
def test_exhausted_memory_is_said_with_what_to_lower(tmp_path: Path) -> None:
    spec = run_spec("data.image_size=128", "recipe.batch_size=1000", "data.train_limit=1000")  # the first map: 1 GB
    command = [sys.executable, "-c", NARROW, spec.model_dump_json(), str(tmp_path / "run")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.stdout.startswith("out of memory on cpu\nlower execution.micro_batch (now 1000)"), ended.stderr
    result = RunFolder(tmp_path / "run").result()
    assert result is not None and result["status"].startswith("failed: out of memory")


@pytest.mark.parametrize(
    ("error", "exhausted"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("can't start new thread"), True),
        (ImportError("libx.so: failed to map segment from shared object"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
    ids=lambda value: f"{type(value).__name__}: {value}"[:40],
)
def test_every_way_to_say_that_memory_is_exhausted_is_known(error: Exception, exhausted: bool, tmp_path: Path) -> None:
    raised = ended_by(error, prepare(run_spec()), RunFolder(tmp_path), World())
    assert str(raised).startswith("out of memory on cpu\n") == exhausted


def test_a_folder_of_another_run_or_in_use_is_refused(tmp_path: Path) -> None:
    train_prepared(prepare(run_spec()), tmp_path / "run")
    for changes, named in (
        (["seed=7"], r"differs in seed\n"),
        (["budget.epochs=3", "recipe.optimizer.lr=1"], r"differs in budget.epochs, recipe.optimizer.lr\n"),
        (["recipe.regularisation={label_smoothing: 0.1, clip_norm: 1}", "seed=1", "recipe.batch_size=5",
          "budget={steps: 3}"], r"(differs in \S+, \S+, \S+, \S+, \S+ and 1 more)"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=rf"holds another run(.|\n)*{named}"):
            train_prepared(prepare(run_spec(*changes)), tmp_path / "run")
    with FolderLock(tmp_path / "busy"), pytest.raises(UserError, match="being written by process"):
        train_prepared(prepare(run_spec()), tmp_path / "busy")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["execution.micro_batch=5"], "does not divide"),
        (["model.num_classes=7"], "has 10 classes"),
        (["model.image_size=32"], "give one, or the same twice"),
        (["recipe.precision=fp16"], "fp16 needs a GPU"),
        (["execution.device=cuda:9"], "not on this machine"),
        (["data.checksum=deadbeef"], "not what the run was made with"),
        (["data.name=digitz"], "did you mean 'digits'"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(changes: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        prepare(run_spec(*changes))


def test_batch_splitting_equals_the_whole_batch_without_batchnorm(tmp_path: Path) -> None:
    losses = []
    for micro in ("null", "8"):
        spec = run_spec("model.name=vit_mini", f"execution.micro_batch={micro}", "execution.log_every_steps=1")
        run = train_prepared(prepare(spec), tmp_path / micro)
        losses.append([line["train_loss"] for line in run.history if line["kind"] == "train"])
    assert losses[0] == pytest.approx(losses[1], rel=2e-4)


def test_phases_and_frozen_parts_show_in_the_weights(tmp_path: Path) -> None:
    names = [name for name, _ in lf.create_model("resnet_nano", num_classes=10, image_size=16).named_parameters()]
    stem = names[0]
    forever = run_spec(f"recipe.freeze={{patterns: ['{stem}']}}")
    run = train_prepared(prepare(forever), tmp_path / "frozen")
    initial = dict(prepare(forever).build_model().named_parameters())[stem]
    trained = dict(lf.load_run(run.folder.path).model.named_parameters())[stem]
    assert torch.equal(initial, trained)
    assert run.result["trainable_params"] == run.result["params"] - initial.numel()
    thawed = run_spec(f"recipe.freeze={{patterns: ['{stem}'], epochs: 1}}")
    run = train_prepared(prepare(thawed), tmp_path / "thawed")
    assert not torch.equal(initial, dict(lf.load_run(run.folder.path).model.named_parameters())[stem])


def test_sgdmix_hands_over_in_the_metrics(tmp_path: Path) -> None:
    spec = run_spec(
        "recipe.optimizer={name: sgd, lr: 0.05, momentum: 0.9, nesterov: true}", "recipe.schedule={name: constant}",
        "recipe.phases=[{at_epoch: 3, optimizer: {name: sgdp, lr: 0.02, momentum: 0.9, nesterov: true}, "
        "schedule: {name: step, every_epochs: 2}}]", "budget.epochs=6", "execution.log_every_steps=1",
    )  # fmt: skip
    history = train_prepared(prepare(spec), tmp_path / "run").history
    rates = {line["step"]: line["lr"] for line in history if line["kind"] == "train"}
    per_epoch = math.ceil(200 / 32)
    assert rates[1] == 0.05 and rates[3 * per_epoch + 1] == 0.02
    assert rates[5 * per_epoch + 1] == pytest.approx(0.002)


def test_other_normalisation_than_that_of_the_weights_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train_prepared(prepare(run_spec("budget={steps: 1}")), tmp_path / "first")
    start = f"model.start_from={{source: {tmp_path / 'first'}}}"
    prepare(run_spec(start)).build_model()
    assert "normalised" not in capfd.readouterr().err
    prepare(run_spec(start, "recipe.augment.normalize=half")).build_model()
    assert "normalised as 'data', here as 'half'" in capfd.readouterr().err


def test_progress_never_counts_an_epoch_beyond_the_last(tmp_path: Path) -> None:
    """200 images at 32 are seven steps an epoch; a line after the last step of one is still that epoch's."""

    class Seen(Progress):
        def advance(self, n: float = 1.0, **fields: object) -> None:
            said.extend([fields["epoch"]] if "epoch" in fields else [])
            super().advance(n, **fields)

    said: list[object] = []
    spec = run_spec("budget.epochs=2", "execution.log_every_steps=1")
    train_prepared(prepare(spec), tmp_path / "run", progress=Seen(shown=False))
    assert said == ["1/2"] * 8 + ["2/2"] * 8  # a line for each step, and one for the epoch
