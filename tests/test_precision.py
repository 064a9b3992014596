"""Which devices multiply bf16 matrices natively."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch

from levelfield import precision
from levelfield.precision import choose_precision, cpu_has_bf16, multiplies_bf16


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[int, int]]:
    """GPUs by number: the major of their compute capability. torch asks the one that is current."""
    majors: dict[int, int] = {}
    current = [0]

    def device(index: int) -> Any:
        current[0] = index
        return nullcontext()

    def is_bf16_supported(including_emulation: bool = True) -> bool:
        return including_emulation or majors[current[0]] >= 8

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: current[0])
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    precision._gpu_multiplies_bf16.cache_clear()
    yield majors
    precision._gpu_multiplies_bf16.cache_clear()


def test_a_gpu_before_ampere_emulates_bf16_and_each_answers_for_itself(gpus: dict[int, int]) -> None:
    gpus.update({0: 9, 1: 7})
    found = [multiplies_bf16(torch.device(name)) for name in ("cuda", "cuda:1", "cuda:0")]
    assert found == [True, False, True]


def test_bf16_if_native_is_fp32_on_a_gpu_that_emulates_bf16(gpus: dict[int, int]) -> None:
    """A Tesla T4, which free notebooks lend, has no bf16: it was given all the same, many times as slow as fp32."""
    gpus.update({0: 9, 1: 7})
    found = [choose_precision("bf16_if_native", torch.device(name)) for name in ("cuda:0", "cuda:1")]
    assert found == ["bf16", "fp32"]


def test_a_cpu_answers_by_its_instructions_and_mps_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    assert multiplies_bf16(torch.device("cpu")) == cpu_has_bf16()
    for has in (True, False):
        monkeypatch.setattr(precision, "cpu_has_bf16", lambda has=has: has)
        assert multiplies_bf16(torch.device("cpu")) is has
        assert not multiplies_bf16(torch.device("mps"))
