"""Blocks are measured once per device and sizes, kept on disk, and never guessed where they may not be measured."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from levelfield.models.kernels import tuned_blocks
from levelfield.models.kernels.tuned_blocks import CANDIDATES, DEFAULT, Block, block_for


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Block]:
    """The candidates that were timed; (64, 4) is the fastest, and (128, 8) asks for more than there is."""
    asked: list[Block] = []

    def milliseconds(launch: object, block: Block) -> float:
        asked.append(block)
        if block == (128, 8):
            raise RuntimeError("out of resource: shared memory")
        return abs(block[0] - 64) + abs(block[1] - 4)

    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path))
    monkeypatch.setattr(tuned_blocks, "_milliseconds", milliseconds)
    monkeypatch.setattr(tuned_blocks, "_known", {})
    tuned_blocks._tell.cache_clear()
    return asked


def found(what: str, device: str = "NVIDIA H200") -> Block:
    return tuned_blocks._found(what, device, lambda block: None)


def test_what_is_measured_is_kept_for_later_processes(
    timed: list[Block], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert found("a") == (64, 4) and timed == list(CANDIDATES)
    assert found("a") == (64, 4) and len(timed) == len(CANDIDATES)
    monkeypatch.setattr(tuned_blocks, "_known", {})  # another process
    assert found("a") == (64, 4) and len(timed) == len(CANDIDATES)
    assert found("b") == (64, 4) and len(timed) == 2 * len(CANDIDATES)
    found("a", "NVIDIA A100-SXM4-80GB")
    assert len(timed) == 3 * len(CANDIDATES)
    assert len(list((tmp_path / "triton-blocks").glob("NVIDIA-*.json"))) == 2


def test_the_wait_is_told_once(timed: list[Block], capsys: pytest.CaptureFixture[str]) -> None:
    for what in "abca":
        found(what)
    assert capsys.readouterr().err.count("first use of these kernels on NVIDIA H200") == 1


def test_a_damaged_or_forbidden_file_is_measured_again(timed: list[Block], monkeypatch: pytest.MonkeyPatch) -> None:
    found("a")
    path = tuned_blocks._path("NVIDIA H200")
    path.write_text('{"a": "no block"}', encoding="utf-8")
    monkeypatch.setattr(tuned_blocks, "_known", {})
    assert found("a") == (64, 4) and len(timed) == 2 * len(CANDIDATES)

    def full(*arguments: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(tuned_blocks, "replacing", full)
    assert found("c") == (64, 4)


def test_nothing_is_measured_where_it_may_not_be(timed: list[Block], monkeypatch: pytest.MonkeyPatch) -> None:
    assert block_for("a", torch.device("cpu"), lambda block: None) == DEFAULT
    torch.use_deterministic_algorithms(True)
    try:
        assert block_for("a", torch.device("cuda"), lambda block: None) == DEFAULT
    finally:
        torch.use_deterministic_algorithms(False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert found("a") == DEFAULT
    assert timed == []


def test_a_default_that_fails_is_told(timed: list[Block], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(launch: object, block: Block) -> float:
        raise RuntimeError("no kernel image")

    monkeypatch.setattr(tuned_blocks, "_milliseconds", fails)
    with pytest.raises(RuntimeError, match="no kernel image"):
        found("a")


def test_a_budget_that_is_spent_ends_the_search(timed: list[Block], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuned_blocks, "BUDGET_S", -1.0)
    assert found("a") == DEFAULT and timed == [DEFAULT]
