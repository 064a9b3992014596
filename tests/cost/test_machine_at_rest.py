"""A profile says whether the machine rested, and in which arithmetic a GPU multiplied float32."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from levelfield.cost import machine_at_rest
from levelfield.cost.one_process import Setting
from levelfield.cost.profile import _rest, profile
from levelfield.float32 import float32_precision, set_tf32
from levelfield.system import machine

profiling = sys.modules["levelfield.cost.profile"]


@pytest.fixture
def switches() -> Iterator[None]:
    """torch's switches as they were."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize(("on", "named"), [(True, "tf32"), (False, "ieee"), (True, "tf32")])
def test_matrix_products_and_convolutions_compute_alike(on: bool, named: str, switches: None) -> None:
    set_tf32(on)
    assert float32_precision() == {"matmul": named, "convolution": named}
    # the older names, which torch.compile reads, say the same and do not raise
    assert torch.backends.cuda.matmul.allow_tf32 is on and torch.backends.cudnn.allow_tf32 is on
    assert torch.get_float32_matmul_precision() == ("high" if on else "highest")


def test_torch_left_alone_computes_them_differently() -> None:
    """The reason for all this: should torch's defaults become level, this test says so."""
    code = "from levelfield.float32 import float32_precision as p; assert p()['convolution'] == 'tf32' != p()['matmul']"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("tf32", [True, False])
def test_every_process_of_a_profile_sets_it(tf32: bool, monkeypatch: pytest.MonkeyPatch, switches: None) -> None:
    seen: list[tuple[str, dict[str, str]]] = []
    set_tf32(not tf32)

    def here(work: object, setting: Setting) -> dict[str, object]:
        sys.modules["levelfield.cost.one_process"]._prepare(setting)
        seen.append((work.__name__, float32_precision()))  # type: ignore[attr-defined]
        timing = {"ms_median": 1.0, "ms_q1": 1.0, "ms_q3": 1.0, "ms_p99": 1.0, "repeats": 1, "warmup": 1, "batch": 1}
        timing["images_per_s"] = 1e3
        counted = {"flops": 8, "peak_flops": 1e9, "joules_per_image": None, "clocks_mhz": None}
        return {"latency": timing, "throughput": timing, "training": None, **counted}

    monkeypatch.setattr(profiling, "_in_own_process", here)
    monkeypatch.setattr(profiling, "busy_percent", lambda device: 1.0)
    profile(Setting(lambda: torch.nn.Linear(2, 2), image_size=8, tf32=tf32))
    assert [name for name, _ in seen] == ["measure_times", "measure_times", "measure_memory_of"]
    assert all(set(found.values()) == {"tf32" if tf32 else "ieee"} for _, found in seen)


def stat(busy: int, idle: int) -> str:
    return f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1 1 1 1\n"


@pytest.mark.parametrize(("busy", "idle", "percent"), [(0, 100, 0.0), (30, 70, 30.0), (100, 0, 100.0)])
def test_what_others_use_is_read_while_nothing_is_asked(
    busy: int, idle: int, percent: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "stat"
    path.write_text(stat(1000, 5000))
    monkeypatch.setattr(machine, "_STAT", path)
    monkeypatch.setattr(machine_at_rest.time, "sleep", lambda seconds: path.write_text(stat(1000 + busy, 5000 + idle)))
    assert machine_at_rest.busy_percent(torch.device("cpu")) == percent


def test_a_system_that_does_not_tell_leaves_it_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "_STAT", tmp_path / "nothing")
    assert machine_at_rest.busy_percent(torch.device("cpu"), 0.0) is None
    assert _rest([1.0, None, 1.0]) == {"busy_percent": None, "resting": False}
    assert _rest([1.0, 4.0, 2.0]) == {"busy_percent": 4.0, "resting": True}
    assert _rest([1.0, 6.0, 2.0]) == {"busy_percent": 6.0, "resting": False}


def test_work_of_others_is_seen() -> None:
    """A process that computes while we look: at least half a core of whatever this machine has."""
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        busy = machine_at_rest.busy_percent(torch.device("cpu"), 1.0)
    finally:
        other.kill()
        other.wait()
    if busy is None:
        pytest.skip("this system does not tell what its processors do")
    assert busy > 50.0 / (os.cpu_count() or 1)
