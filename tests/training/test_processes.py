"""Two real processes under torchrun (gloo) against one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import SMOOTH, run_spec

from levelfield.runs import RunFolder
from levelfield.spec import RunSpec
from levelfield.training import prepare, train_prepared
from levelfield.training.evaluate_finished_run import retest
from levelfield.training.synchronise_batchnorm import synchronise_batchnorm

Start = Callable[..., "subprocess.Popen[str]"]
TORCHRUN = [
    *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
    *("--master-addr", "127.0.0.1", "--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"),
]
MIXED = "recipe.mix={mixup_alpha: 0.8, cutmix_alpha: 1.0, probability: 0.7, mode: element}"


def losses(history: list[dict[str, Any]]) -> list[float]:
    return [line["train_loss"] for line in history if line["kind"] == "train"]


def train_twice(spec: RunSpec, tmp_path: Path, start: Start) -> tuple[Any, RunFolder]:
    """(the run of one process, the run folder of two)."""
    one = train_prepared(prepare(spec), tmp_path / "one")
    process = start(spec, tmp_path / "two", launcher=TORCHRUN)
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-3000:]
    assert json.loads(output)["status"] == "finished"  # one document: rank 0 speaks for all
    return one, RunFolder(tmp_path / "two")


def test_two_processes_are_one_and_count_the_test_images_once(tmp_path: Path, start: Start) -> None:
    """Same order, augmentation and mixing; BatchNorm over the global batch; the short last batch divides unevenly."""
    spec = run_spec(
        SMOOTH, MIXED, "budget.steps=20", "execution.log_every_steps=1", "data.train_limit=203", "data.test_limit=101",
        "recipe.augment.policy={name: randaugment}", "recipe.regularisation.clip_norm=1.0",
        "recipe.optimizer={name: sgd, lr: 0.003, momentum: 0.9, nesterov: true}",  # Adam magnifies rounding
    )  # fmt: skip
    one, folder = train_twice(spec, tmp_path, start)
    assert len(losses(one.history)) == 20
    assert losses(folder.metrics()) == pytest.approx(losses(one.history), abs=1e-4)
    result = folder.result()
    assert result is not None
    alone = retest(folder.path, device="cpu")  # the same weights, evaluated by one process
    assert alone["n"] == 101
    for key in ("top1", "top3", "top5"):
        assert result[key] == alone[key]
    predictions = folder.predictions()
    assert predictions is not None and len(set(predictions.index.tolist())) == 101


def test_split_batches_have_as_many_parts_on_every_rank_and_are_those_of_one_process(
    tmp_path: Path, start: Start
) -> None:
    """209 images in batches of 33, 11 a part: ranks hold 17 and 16 images by turns, of the last batch 6 and 5."""
    spec = run_spec(
        SMOOTH, "budget.steps=9", "execution.log_every_steps=1", "data.train_limit=209", "recipe.batch_size=33",
        "execution.micro_batch=11", "recipe.optimizer={name: sgd, lr: 0.003, momentum: 0.9}",
    )  # fmt: skip
    one, folder = train_twice(spec, tmp_path, start)
    assert len(losses(one.history)) == 9
    assert losses(folder.metrics()) == pytest.approx(losses(one.history), abs=1e-4)


def test_a_killed_worker_ends_the_job_and_torchrun_brings_it_back(tmp_path: Path, start: Start) -> None:
    spec = run_spec("budget.steps=400", "execution.checkpoint_every_steps=10", "execution.log_every_steps=10")
    out = tmp_path / "run"
    process = start(spec, out, launcher=[*TORCHRUN, "--max-restarts", "2"])
    deadline = time.monotonic() + 300
    while not list((out / "checkpoints").glob("*.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    holder = int((out / "lock").read_text().split()[1])
    os.kill(holder, signal.SIGKILL)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-3000:]
    result = json.loads((out / "result.json").read_text())
    assert result["status"] == "finished"
    assert result["resumed_from"] and result["resumed_from"][0] > 0


def _batchnorm_worker(rank: int, port: int, queue: Any) -> None:
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm2d(3)
    x = torch.randn(7, 3, 4, 4) * 3 + 5
    synchronise_batchnorm(torch.nn.Sequential(norm), torch.device("cpu"))
    own = (x[:4] if rank == 0 else x[4:]).clone().requires_grad_()
    y = norm(own)
    (y.sin().sum()).backward()
    assert norm.weight.grad is not None and own.grad is not None
    dist.all_reduce(norm.weight.grad)
    queue.put((rank, y.detach().numpy(), own.grad.numpy(), norm.weight.grad.numpy(), norm.running_var.numpy()))
    dist.barrier()
    dist.destroy_process_group()


def test_global_batchnorm_equals_one_process_forward_and_backward() -> None:
    import socket

    import torch.multiprocessing as mp

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = mp.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_batchnorm_worker, args=(rank, port, queue)) for rank in range(2)]
    for worker in workers:
        worker.start()
    parts = {part[0]: part[1:] for part in (queue.get(timeout=300) for _ in workers)}
    for worker in workers:
        worker.join(60)
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm2d(3)
    x = (torch.randn(7, 3, 4, 4) * 3 + 5).requires_grad_()
    y = norm(x)
    y.sin().sum().backward()
    assert x.grad is not None and norm.weight.grad is not None
    for which, expected in ((0, y.detach()), (1, x.grad)):
        together = torch.cat([torch.from_numpy(parts[0][which]), torch.from_numpy(parts[1][which])])
        torch.testing.assert_close(together, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.from_numpy(parts[1][2]), norm.weight.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(torch.from_numpy(parts[0][3]), norm.running_var, rtol=1e-4, atol=1e-5)
