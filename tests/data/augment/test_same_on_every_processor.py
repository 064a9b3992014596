"""The input path is equal to the bit on every processor: stored digests of every operation, crop, policy and mix."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from digests import RECORD, cases, digest

from levelfield.data.augment.random_erasing import _quantiles

STORED = json.loads(RECORD.read_text(encoding="utf-8"))

LESSER = {
    "without AVX-512": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "without AVX and fused multiply-add": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F",
    },
}
"""Settings under which torch, MKL, NumPy and the C library take the ways of lesser processors."""


def test_every_case_is_stored() -> None:
    assert sorted(STORED) == sorted(cases())


@pytest.mark.parametrize("name", cases())
def test_this_processor_gives_the_stored_bytes(name: str) -> None:
    assert digest(cases()[name]()) == STORED[name]


@pytest.mark.parametrize("processor", LESSER)
def test_a_lesser_processor_gives_the_same_bytes(processor: str) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("digests.py"))],
        env={**os.environ, **LESSER[processor], "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == STORED


def test_the_table_of_normal_values_has_no_entry_on_which_processors_could_differ() -> None:
    """Eight units in the last place of float64, more than good libraries are apart, change no float32 entry."""
    levels = (torch.arange(1 << 16, dtype=torch.float64) + 0.5) / (1 << 16)
    exact = torch.special.ndtri(levels)
    for units in (-8, 8):
        assert torch.equal((exact * (1 + units * 2.0**-52)).to(torch.float32), _quantiles(torch.device("cpu")))
