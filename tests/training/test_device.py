"""Which GPU a process takes, and that it is the current one while it works. CUDA itself is stood in for."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import run_spec

from levelfield.errors import UserError
from levelfield.training import evaluate_finished_run, prepare, step_timing, train_prepared
from levelfield.training.device import choose_device
from levelfield.training.processes import join_world

Current = list[torch.device]


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Current:
    """Two GPUs; the current one, innermost last."""
    current: Current = []

    @contextmanager
    def device(chosen: torch.device) -> Any:
        current.append(chosen)
        try:
            yield
        finally:
            current.pop()

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "device", device)
    return current


def torchrun(monkeypatch: pytest.MonkeyPatch, rank: int, size: int) -> None:
    for key, value in {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}.items():
        monkeypatch.setenv(key, str(value))


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_each_process_takes_the_gpu_of_its_own_number(
    name: str, gpus: Current, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose_device(name) == torch.device("cuda", 0)
    for rank in (0, 1):
        torchrun(monkeypatch, rank, 2)
        assert choose_device(name) == torch.device("cuda", rank)
    torchrun(monkeypatch, 2, 3)
    with pytest.raises(UserError, match="3 processes on this machine need as many GPUs, it shows 2"):
        choose_device(name)


def test_one_gpu_is_not_shared_by_processes(gpus: Current, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    torchrun(monkeypatch, 0, 2)
    with pytest.raises(UserError, match="would put 2 processes on one GPU\ngive --device cuda"):
        choose_device("cuda:1")


@pytest.mark.parametrize("size", [1, 2])
def test_the_gpu_of_a_run_is_the_current_one_until_it_ends(
    size: int, gpus: Current, monkeypatch: pytest.MonkeyPatch
) -> None:
    torchrun(monkeypatch, 1, size)
    at_opening: list[Current] = []
    module = torch.distributed
    monkeypatch.setattr("levelfield.training.processes._store", lambda: None)
    monkeypatch.setattr(module, "init_process_group", lambda *_, **__: at_opening.append(list(gpus)))
    monkeypatch.setattr(module, "destroy_process_group", lambda: None)
    monkeypatch.setattr(module, "get_rank", lambda: 1)
    monkeypatch.setattr(module, "get_world_size", lambda: size)
    with join_world(torch.device("cuda", 1)):
        assert gpus == [torch.device("cuda", 1)]
    assert gpus == [] and at_opening == ([[torch.device("cuda", 1)]] if size == 2 else [])


class ReachedError(Exception):
    """Work on the GPU would begin here."""


def test_whatever_works_on_a_gpu_makes_it_the_current_one(
    tmp_path: Path, gpus: Current, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(run_spec("execution.device=cuda:1", "recipe.precision=fp32"))
    seen: list[Current] = []

    def reached(*_: object, **__: object) -> None:
        seen.append(list(gpus))
        raise ReachedError

    for name in ("step_timing.make_plan", "evaluate_finished_run.load_run", "run.make_plan"):
        monkeypatch.setattr(f"levelfield.training.{name}", reached)
    monkeypatch.setattr("levelfield.training.open_run_folder.describe_environment", lambda _: {})
    for work in (
        lambda: step_timing.seconds_per_step(prepared),
        lambda: evaluate_finished_run.retest(tmp_path, device="cuda:1"),
        lambda: train_prepared(prepared, tmp_path / "run"),
    ):
        with pytest.raises(ReachedError):
            work()
    assert seen == [[torch.device("cuda", 1)]] * 3
