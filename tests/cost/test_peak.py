"""The peak of a machine is measured once, kept, and measured again where others had the machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from levelfield.cost import peak
from levelfield.cost.peak import peak_flops, shares_of_peak

CPU = torch.device("cpu")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Small products, a cache folder of its own."""
    monkeypatch.setattr(peak, "SIDES", {"cpu": 64})
    monkeypatch.setattr(peak, "SECONDS", 0.0)
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path))
    return tmp_path / "peaks"


def test_it_is_measured_once_on_a_machine_at_rest(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "busy_percent", lambda device, seconds: 0.0)
    first = peak_flops(CPU, "fp32")
    assert first > 1e6
    monkeypatch.setattr(peak, "_measured", lambda device, dtype: 2 * first)
    assert peak_flops(CPU, "fp32") == first
    assert peak_flops(CPU, "bf16") == 2 * first  # another dtype is another peak
    assert len(list(small.iterdir())) == 2
    threads = torch.get_num_threads()
    assert peak.kept_peak(CPU, "fp32", False, threads) == first
    assert peak.kept_peak(CPU, "fp32", False, threads + 1) is None


@pytest.mark.parametrize("busy", [50.0, None])
def test_what_was_measured_beside_others_is_measured_again_and_never_sinks(
    busy: float | None, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peak, "busy_percent", lambda device, seconds: busy)
    seen = []
    for measured in (3e9, 2e9, 5e9):
        monkeypatch.setattr(peak, "_measured", lambda device, dtype, measured=measured: measured)
        seen.append(peak_flops(CPU, "fp32"))
    assert seen == [3e9, 3e9, 5e9]
    (kept,) = small.iterdir()
    assert json.loads(kept.read_text())["rested"] is False
    kept.write_text("{")
    assert peak_flops(CPU, "fp32") == 5e9


def test_a_share_counts_a_training_step_as_three_passes() -> None:
    throughput, training = {"images_per_s": 100.0}, {"images_per_s": 20.0}
    assert shares_of_peak(10**7, 2e9, {"throughput": throughput}) == {"inference": 0.5, "training": None}
    both = shares_of_peak(10**7, 2e9, {"throughput": throughput, "training": training})
    assert both == {"inference": 0.5, "training": pytest.approx(0.3)}


@pytest.mark.parametrize(("speed", "side"), [(1e12, 2048), (76e9, 2048), (1.3e9, 512), (1e6, 128)])
def test_a_product_that_would_take_minutes_is_measured_smaller(
    monkeypatch: pytest.MonkeyPatch, speed: float, side: int
) -> None:
    """Bfloat16 on a CPU without instructions for it, 1.3 GFLOP/s: 2048 px would take 13 seconds a product and more."""
    sides: list[int] = []

    def seconds(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> float:
        sides.append(len(a))
        return 2 * len(a) ** 3 / speed

    monkeypatch.setattr(peak, "_seconds", seconds)
    monkeypatch.setattr(peak, "SECONDS", 0.6)
    monkeypatch.setattr(peak.time, "perf_counter", lambda: sum(2 * s**3 / speed for s in sides))
    assert peak._measured(CPU, "bf16") == pytest.approx(speed)
    assert sides[-1] == side and sides.count(side) >= peak.LEAST
