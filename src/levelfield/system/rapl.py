"""The energy that processors count, by Linux's RAPL counters; nothing where there are none, or none for this user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

RAPL: Final = Path("/sys/class/powercap")


def joules_of_processors() -> Callable[[], float] | None:
    """A function that says the joules of all packages of this machine since now; None where they are not counted.

    Zones inside a package (`intel-rapl:0:0`) are part of it.
    """
    try:
        zones = [zone for zone in sorted(RAPL.glob("intel-rapl:*")) if zone.name.count(":") == 1]
        packages = [_Package(zone) for zone in zones if _read(zone / "name").startswith("package")]
    except OSError:
        return None
    return (lambda: sum(package.joules() for package in packages)) if packages else None


class _Package:
    """One processor's counter, which begins anew at its range: after about an hour at 70 W."""

    def __init__(self, zone: Path) -> None:
        self._counter = zone / "energy_uj"
        self._range = int(_read(zone / "max_energy_range_uj"))
        self._last, self._used = int(_read(self._counter)), 0

    def joules(self) -> float:
        now = int(_read(self._counter))
        self._used += now - self._last + (self._range if now < self._last else 0)
        self._last = now
        return self._used / 1e6


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")
