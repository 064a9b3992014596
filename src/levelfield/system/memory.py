"""The memory that this process has and has had (Linux's /proc, getrusage or Windows' counters), and its exhaustion."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
from pathlib import Path
from typing import Any, Final

from levelfield.system.platforms import MACOS, WINDOWS

_MIB: Final = 2**20
_STATUS: Final = Path("/proc/self/status")
_CLEAR: Final = Path("/proc/self/clear_refs")


def reset_resident_peak() -> None:
    """Let the resident peak start anew from what is resident now (Linux; elsewhere, and where it is forbidden, not)."""
    with contextlib.suppress(OSError):
        if _CLEAR.exists():
            _CLEAR.write_text("5", encoding="ascii")


def resident_peak_mib() -> float:
    """The largest resident set that this process has had, in MiB."""
    if (mib := _status_mib("VmHWM")) is not None:
        return mib
    if WINDOWS:
        return _windows_counters().PeakWorkingSetSize / _MIB
    resource: Any = importlib.import_module("resource")
    peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / _MIB if MACOS else peak / 1024


def resident_mib() -> float:
    """The resident set now, in MiB (on macOS, which does not tell without more: the peak)."""
    if (mib := _status_mib("VmRSS")) is not None:
        return mib
    return _windows_counters().WorkingSetSize / _MIB if WINDOWS else resident_peak_mib()


def _status_mib(key: str) -> float | None:
    """An entry of Linux's /proc/self/status. getrusage's peak is that of the parent when a process starts: not ours."""
    if not _STATUS.exists():
        return None
    lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith(key + ":")), None)


class _Counters(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS of psapi.h, in bytes."""

    PeakWorkingSetSize: int
    WorkingSetSize: int
    _fields_ = [("cb", ctypes.c_uint32), ("PageFaultCount", ctypes.c_uint32)] + [
        (name, ctypes.c_size_t)
        for name in (
            "PeakWorkingSetSize", "WorkingSetSize", "QuotaPeakPagedPoolUsage", "QuotaPagedPoolUsage",
            "QuotaPeakNonPagedPoolUsage", "QuotaNonPagedPoolUsage", "PagefileUsage", "PeakPagefileUsage",
        )
    ]  # fmt: skip


def _windows_counters() -> _Counters:
    kernel: Any = vars(ctypes)["windll"].kernel32
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    kernel.K32GetProcessMemoryInfo.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32]
    counters = _Counters(cb=ctypes.sizeof(_Counters))
    if not kernel.K32GetProcessMemoryInfo(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.cb):
        raise OSError("Windows does not tell how much memory this process has")
    return counters


_EXHAUSTED: Final = (
    "can't allocate memory",  # torch's allocator for CPUs
    "cannot allocate memory",  # a library that the loader could not map
    "std::bad_alloc",  # C++ that torch translates to a RuntimeError
    "failed to map segment",  # a library that the loader could not map
    "can't start new thread",  # a stack that could not be mapped
)


def memory_exhausted(error: BaseException) -> bool:
    """Whether memory was exhausted: some say so by their kind, others only in words."""
    if isinstance(error, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True  # the latter is torch's
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    said = str(error).lower()
    return isinstance(error, (RuntimeError, ImportError)) and any(words in said for words in _EXHAUSTED)
