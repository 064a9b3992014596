"""What this machine is and does: its processor's name, instructions and clock, and how busy it is."""

from __future__ import annotations

import functools
import hashlib
import math
import os
import platform
import shutil
import subprocess
from pathlib import Path, PurePosixPath
from typing import Final

from levelfield.system.platforms import MACOS

_CPUINFO: Final = Path("/proc/cpuinfo")
_STAT: Final = Path("/proc/stat")
_CGROUP: Final = Path("/proc/self/cgroup")
_CGROUPS: Final = Path("/sys/fs/cgroup")
_MACHINE_ID: Final = Path("/etc/machine-id")


def processor_name() -> str:
    """The CPU's model name as the system states it."""
    names = _cpuinfo("model name")
    if names:
        return names[0]
    own = _sysctl("machdep.cpu.brand_string") if MACOS else os.environ.get("PROCESSOR_IDENTIFIER", "")
    return own or platform.processor() or platform.machine()


def instruction_sets() -> frozenset[str]:
    """The processor's instruction sets by the names of Linux (`avx2`, `avx512f`, `bf16`); empty where it tells none."""
    words = {word for line in (*_cpuinfo("flags"), *_cpuinfo("Features")) for word in line.split()}
    if not words and MACOS and _sysctl("hw.optional.arm.FEAT_BF16") == "1":
        words.add("bf16")
    return frozenset(words)


def usable_cores() -> int:
    """How many cores this process may use: those that a cluster or container gave it, where the system tells.

    A container's share of the processors' time (`docker run --cpus 2`) counts as so many cores, a begun one as a whole.
    """
    allowed = getattr(os, "sched_getaffinity", None)
    cores = len(allowed(0)) if allowed else os.cpu_count() or 1
    return max(1, min([cores, *(math.ceil(share) for share in _shares())]))


def _shares() -> list[float]:
    """The processors' time that the control groups of this process may use, each in cores (Linux; both versions)."""
    try:
        lines = _CGROUP.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    shares = []
    for line in lines:
        _, controllers, inside = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = _CGROUPS / ("cpu" if controllers else "")
        folder = PurePosixPath(inside)
        for each in (folder, *folder.parents):
            shares += _share(top / str(each).lstrip("/"))
    return shares


def _share(group: Path) -> list[float]:
    """What one control group says: nothing where it sets no limit."""
    try:
        if (file := group / "cpu.max").is_file():
            quota, period = file.read_text(encoding="ascii").split()
        else:
            quota, period = ((group / f"cpu.cfs_{what}_us").read_text(encoding="ascii") for what in ("quota", "period"))
        return [int(quota) / int(period)] if int(quota) > 0 else []
    except (OSError, ValueError):  # there is none, or it says "max"
        return []


def clock_mhz() -> float | None:
    """The mean clock of all cores now; None where the system does not tell."""
    mhz = [float(value) for value in _cpuinfo("cpu MHz")]
    return sum(mhz) / len(mhz) if mhz else None


def busy_ticks() -> tuple[int, int] | None:
    """(busy, all) clock ticks of all cores since the system started; None where it does not tell.

    Time that a hypervisor took away is busy.
    """
    if not _STAT.exists():
        return None
    values = [int(value) for value in _STAT.read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    return sum(values) - values[3] - values[4], sum(values)  # idle, and idle while waiting for a disk


def machine_digest() -> str:
    """A short digest that tells this machine from another of the same kind, without naming it."""
    try:
        own = _MACHINE_ID.read_text(encoding="utf-8").strip()
    except OSError:
        own = ""
    return hashlib.sha256(f"{platform.node()} {own}".encode()).hexdigest()[:8]


def _cpuinfo(key: str) -> list[str]:
    """What the lines of Linux's /proc/cpuinfo with this key say, one a core."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    pairs = [line.partition(":") for line in lines]
    return [value.strip() for name, _, value in pairs if name.strip() == key]


@functools.cache
def _sysctl(name: str) -> str:
    """What macOS says of a name; empty where it knows none."""
    program = shutil.which("sysctl", path="/usr/sbin:/usr/bin:/sbin")
    if program is None:
        return ""
    done = subprocess.run([program, "-n", name], capture_output=True, text=True, encoding="utf-8", check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
