"""Simulations: Windows and macOS played on this machine by what they lack and by a stand-in for what they have.

They show that the other branch is taken and does what it says; no test here has run on those systems.
"""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from levelfield.data.cache_folder import cache_dir, only_one, replacing
from levelfield.errors import UserError
from levelfield.runs import FolderLock, write_json, write_text
from levelfield.runs.atomic import remove_leftovers
from levelfield.studies.results.gate_ledger import Asked, Ledger
from levelfield.system import files, locks, machine, memory

fcntl = pytest.importorskip("fcntl")
HOLDER = """
import fcntl, os, sys, time
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
fcntl.lockf(file, fcntl.LOCK_EX, 1, 2**30)
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


def locking(descriptor: int, mode: int, nbytes: int) -> None:
    """msvcrt.locking by a POSIX lock of the same bytes: from the file's position on, and PermissionError where held."""
    assert mode == 2
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, nbytes, os.lseek(descriptor, 0, os.SEEK_CUR))
    except BlockingIOError:
        raise PermissionError(errno.EACCES, "Permission denied") from None


@pytest.fixture
def as_windows(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No pread, no posix_fallocate, no opening of folders, no renaming of what is open; locks by msvcrt alone."""
    monkeypatch.setitem(sys.modules, "msvcrt", types.SimpleNamespace(locking=locking, LK_NBLCK=2))
    for module in (files, locks, memory):
        monkeypatch.setattr(module, "WINDOWS", True)
    monkeypatch.setattr("levelfield.data.cache_folder.WINDOWS", True)
    for name in ("pread", "pwrite", "posix_fallocate"):
        monkeypatch.delattr(os, name)
    before, replace = os.open, Path.replace

    def opening(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if isinstance(path, (str, Path)) and Path(path).is_dir():
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return before(path, flags, *rest, **more)

    def replacing_closed(self: Path, target: Any) -> Path:
        opened = {link.readlink() for link in Path("/proc/self/fd").iterdir() if link.exists()}
        if self.resolve() in opened:
            raise PermissionError(errno.EACCES, "used by another process", str(self))
        return replace(self, target)

    monkeypatch.setattr(os, "open", opening)
    monkeypatch.setattr(Path, "replace", replacing_closed)
    monkeypatch.setattr(files, "_HELD_S", 0.2)
    yield


@pytest.mark.usefixtures("as_windows")
def test_simulated_windows_one_process_writes_to_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with FolderLock(folder):
        assert (folder / "lock").read_text(encoding="utf-8").startswith(f"process {os.getpid()} on ")
    with (
        subprocess.Popen([sys.executable, "-c", HOLDER, str(folder / "lock"), "30"], stdout=subprocess.PIPE) as holder,
    ):
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match=f"is being written by process {os.getpid()} on "), FolderLock(folder):
            pass
        holder.kill()
    with FolderLock(folder):  # freed with its holder
        pass


@pytest.mark.usefixtures("as_windows")
def test_simulated_windows_waits_for_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "made"
    said: list[str] = []
    command = [sys.executable, "-c", HOLDER, str(tmp_path / ".made.lock"), "0.5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with only_one(path, "digits", lambda text, *_: said.append(text)):
            assert holder.wait(timeout=10) == 0
    assert said == ["digits: waiting for another process that decodes it"]


@pytest.mark.usefixtures("as_windows")
def test_simulated_windows_writes_whole_files_and_clears_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"top1": 93.0})
    write_json(path, {"top1": 94.0})
    assert path.read_bytes() == b'{\n  "top1": 94.0\n}\n'
    (tmp_path / ".result.json.0123abcd.tmp").write_bytes(b"{")
    remove_leftovers(tmp_path)
    with replacing(tmp_path / "index") as temporary:
        temporary.write_bytes(b"index")
    assert {each.name for each in tmp_path.iterdir()} == {"result.json", "index"}


@pytest.mark.usefixtures("as_windows")
def test_simulated_windows_asks_again_while_a_reader_holds_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, refused = Path.replace, 2

    def held(self: Path, target: Any) -> Path:
        nonlocal refused
        refused -= 1
        if refused >= 0:
            raise PermissionError(errno.EACCES, "used by another process")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", held)
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "new" and refused == -1
    refused = 10**6
    with pytest.raises(UserError, match="cannot write"):
        write_text(tmp_path / "a", "newer")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "new" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.usefixtures("as_windows")
def test_simulated_windows_ledger_and_lines(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    one = ledger.begin(Asked("a", "b", 0.2), ("a", "b"), 10)
    two = ledger.begin(Asked("a", "c", 0.2), ("a", "c"), 10)
    assert [entry.number for entry in ledger.entries()] == [one.number, two.number] == [1, 2]
    assert b"\r" not in ledger.path.read_bytes()


@pytest.mark.usefixtures("as_windows")
def test_simulated_windows_threads_read_at_their_own_places(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    path.write_bytes(bytes(range(256)) * 64)
    descriptor = files.open_descriptor(path, os.O_RDONLY)
    wrong: list[int] = []

    def read(first: int) -> None:
        for place in range(first, first + 400):
            if files.read_at(descriptor, 4, place) != bytes((place + i) % 256 for i in range(4)):
                wrong.append(place)

    threads = [threading.Thread(target=read, args=(first,)) for first in (0, 1000, 2000, 3000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.close(descriptor)
    assert wrong == []


@pytest.mark.usefixtures("as_windows")
def test_simulated_windows_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LEVELFIELD_CACHE", raising=False)
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert cache_dir() == tmp_path / "levelfield" / "Cache"


def test_simulated_windows_counts_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Call:
        def __init__(self, act: Any) -> None:
            self.act = act

        def __call__(self, *arguments: Any) -> Any:
            return self.act(*arguments)

    def tell(process: int, counters: Any, size: int) -> int:
        assert process == 7 and size == ctypes.sizeof(memory._Counters)
        counters._obj.PeakWorkingSetSize, counters._obj.WorkingSetSize = 300 * 2**20, 200 * 2**20
        return 1

    kernel = types.SimpleNamespace(GetCurrentProcess=Call(lambda: 7), K32GetProcessMemoryInfo=Call(tell))
    monkeypatch.setattr(ctypes, "windll", types.SimpleNamespace(kernel32=kernel), raising=False)
    monkeypatch.setattr(memory, "WINDOWS", True)
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "no-proc")
    assert (memory.resident_peak_mib(), memory.resident_mib()) == (300.0, 200.0)


def test_simulated_macos_counts_memory_in_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "no-proc")
    here = memory.resident_peak_mib()  # Linux's getrusage tells KiB
    monkeypatch.setattr(memory, "MACOS", True)
    there = memory.resident_peak_mib()
    assert 1 < here < 10**6 and there == pytest.approx(here / 1024, rel=0.2) and memory.resident_mib() >= there


def test_simulated_macos_tells_its_processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = {"machdep.cpu.brand_string": "Apple M3", "hw.optional.arm.FEAT_BF16": "1"}
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "no-proc")
    monkeypatch.setattr(machine, "_STAT", tmp_path / "no-proc")
    monkeypatch.setattr(machine, "MACOS", True)
    monkeypatch.setattr(machine, "_sysctl", known.get)
    assert machine.processor_name() == "Apple M3" and machine.instruction_sets() == {"bf16"}
    assert machine.clock_mhz() is None and machine.busy_ticks() is None
    monkeypatch.setattr(machine, "_sysctl", lambda name: "")
    monkeypatch.setattr(machine, "MACOS", False)
    monkeypatch.setenv("PROCESSOR_IDENTIFIER", "Intel64 Family 6")
    assert machine.processor_name() == "Intel64 Family 6" and machine.instruction_sets() == frozenset()


def test_simulated_arm_on_linux_tells_its_instructions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nFeatures\t: fp asimd bf16\n", encoding="utf-8")
    monkeypatch.setattr(machine, "_CPUINFO", cpuinfo)
    assert machine.instruction_sets() == {"fp", "asimd", "bf16"}


def test_the_lock_of_this_system_waits_and_is_freed(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w", encoding="utf-8") as one, (tmp_path / "lock").open("w", encoding="utf-8") as two:
        assert locks.lock(one.fileno(), wait=False) and not locks.lock(two.fileno(), wait=False)
        threading.Timer(0.2, one.close).start()
        began = time.monotonic()
        assert locks.lock(two.fileno(), wait=True) and time.monotonic() - began > 0.1


def test_cores_are_those_that_the_process_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a cluster gives them on Linux; simulated macOS and Windows tell all that there are."""
    monkeypatch.setattr(machine, "_CGROUP", Path("nowhere"))
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2}, raising=False)
    assert machine.usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert machine.usable_cores() == 64


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 3),
        ("0::/a/b\n", {"cpu.max": "max 100000\n", "a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n"}, 1),
        ("0::/elsewhere\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {}, 6),
        ("0::/\n", {"cpu.max": "900000 100000\n"}, 6),
        ("4:cpu,cpuacct:/x\n3:memory:/x\n0::/\n",
         {"cpu/x/cpu.cfs_quota_us": "400000\n", "cpu/x/cpu.cfs_period_us": "100000\n"}, 4),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 6),
    ],
)  # fmt: skip
def test_cores_are_no_more_than_a_containers_share(
    groups: str, files: dict[str, str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / name).write_text(text)
    (tmp_path / "self").write_text(groups)
    monkeypatch.setattr(machine, "_CGROUP", tmp_path / "self")
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    assert machine.usable_cores() == cores
