"""Energy is read from the meters that the machine has, and a run adds it up as it does its seconds."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
import torch

from levelfield.cost.energy import EnergyMeter, energy_meter
from levelfield.system import rapl
from levelfield.training.training_time import WARM_UP_STEPS, TrainingClock

CPU = torch.device("cpu")


@pytest.fixture
def zones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The counters of a machine with two processors, one of them with a zone of its cores."""
    for zone, name in (("0", "package-0"), ("0:0", "core"), ("1", "package-1"), ("2", "psys")):
        folder = tmp_path / f"intel-rapl:{zone}"
        folder.mkdir()
        for file, text in (("name", name), ("energy_uj", "900000"), ("max_energy_range_uj", "1000000")):
            (folder / file).write_text(f"{text}\n")
    monkeypatch.setattr(rapl, "RAPL", tmp_path)
    return tmp_path


def test_a_processor_is_all_its_packages_and_their_counters_begin_anew(zones: Path) -> None:
    meter = energy_meter(CPU)
    assert meter is not None and meter.joules() == 0 and "RAPL" in meter.of
    (zones / "intel-rapl:0" / "energy_uj").write_text("950000")
    (zones / "intel-rapl:1" / "energy_uj").write_text("200000")
    for inside in ("intel-rapl:0:0", "intel-rapl:2"):
        (zones / inside / "energy_uj").write_text("990000")
    assert meter.joules() == pytest.approx(0.05 + 0.3)
    (zones / "intel-rapl:1" / "energy_uj").write_text("250000")
    assert meter.joules() == pytest.approx(0.05 + 0.35)


def test_a_processor_whose_counters_may_not_be_read_has_no_meter(zones: Path) -> None:
    (zones / "intel-rapl:1" / "energy_uj").unlink()
    assert energy_meter(CPU) is None
    (zones / "intel-rapl:0" / "name").write_text("dram")
    (zones / "intel-rapl:1" / "name").write_text("dram")
    assert energy_meter(CPU) is None


def counted(*readings: float) -> EnergyMeter:
    left = iter(readings)
    return EnergyMeter(lambda: next(left), "the bench")


def test_a_clock_counts_the_joules_of_the_seconds_that_it_counts() -> None:
    clock = TrainingClock(CPU, counted(10.0, 15.0, 15.0, 18.0, 100.0, 102.0))
    clock.start()
    for _ in range(WARM_UP_STEPS):
        clock.step(8)
    clock.pause()
    assert clock.train_joules == 5.0 + 3.0
    clock.start()
    clock.step(8)
    clock.pause()
    assert (clock.train_joules, clock.energy_of) == (10.0, "the bench")


def test_a_run_that_goes_on_adds_to_its_joules_or_knows_that_it_cannot() -> None:
    before = TrainingClock(CPU, counted(0.0, 7.0))
    before.start()
    before.step(8)
    before.pause()
    state = before.state_dict()
    goes_on = TrainingClock(CPU, counted(50.0, 52.0))
    goes_on.load_state_dict(state)
    goes_on.start()
    goes_on.step(8)
    goes_on.pause()
    assert goes_on.train_joules == 9.0
    old = {key: value for key, value in state.items() if key not in ("train_joules", "energy_of")}
    unknown = {**state, "train_joules": None, "energy_of": None}
    other = EnergyMeter(lambda: 0.0, "another bench")
    for meter, found in ((None, state), (other, state), (counted(0.0), old), (counted(0.0), unknown)):
        clock = TrainingClock(CPU, meter)
        clock.load_state_dict(found)
        assert clock.train_joules is None and clock.energy_of is None
        assert clock.train_seconds == before.train_seconds


def test_a_gpu_is_read_through_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    class NVMLError(Exception):
        pass

    readings = iter([0, 5_000, 8_500])
    nvml = types.SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID={"GPU-0": "handle"}.__getitem__,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(readings),  # millijoules
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: types.SimpleNamespace(uuid="0"))
    assert energy_meter(torch.device("mps")) is None
    meter = energy_meter(torch.device("cuda"))
    assert meter is not None
    assert (meter.joules(), meter.joules()) == (5.0, 8.5)

    def without_meter(handle: object) -> int:
        raise NVMLError

    nvml.nvmlDeviceGetTotalEnergyConsumption = without_meter
    assert energy_meter(torch.device("cuda")) is None
