"""For which processors the C++ loops are compiled, and with what: one library for each set of instructions.

A wheel's build runs this file before levelfield and torch are installed: it imports the standard library alone.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

FLAGS: Final = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-std=c++17", "-fPIC")
_AVX2: Final = frozenset(("avx2", "bmi1", "bmi2", "fma", "f16c", "movbe", "abm"))
_AVX512: Final = _AVX2 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
_WIDE: Final = ("-march=x86-64-v4", "-mprefer-vector-width=512")


@dataclass(frozen=True)
class Variant:
    """A set of instructions: its name, the compiler's flags for it, what Linux calls the features it needs."""

    name: str
    flags: tuple[str, ...] = ()
    needs: frozenset[str] = field(default_factory=frozenset)


OF_X86: Final = (
    Variant("avx512_bf16", (*_WIDE, "-mavx512bf16"), _AVX512 | {"avx512_bf16"}),
    Variant("avx512", _WIDE, _AVX512),
    Variant("avx2", ("-march=x86-64-v3",), _AVX2),
    Variant("plain", ("-march=x86-64",)),
)
OF_ARM: Final = (Variant("neon"),)
NAMES: Final = tuple(variant.name for variant in (*OF_X86, *OF_ARM))


def variants(machine: str) -> tuple[Variant, ...]:
    """Those of a kind of machine, as `platform.machine()` names it, the fastest first."""
    if machine.lower() in ("x86_64", "amd64"):
        return OF_X86
    return OF_ARM if machine.lower() in ("aarch64", "arm64") else (Variant("plain"),)


def library_name(variant: Variant, mark: str = "") -> str:
    """The file of a variant's library; `mark` tells builds of other sources apart."""
    return f"loops-{variant.name}{mark}.so"


def sources(folder: Path) -> tuple[list[Path], list[Path]]:
    """The C++ files that make the library, and the headers that they include."""
    return sorted(folder.glob("*.cpp")), sorted(folder.glob("*.h"))


def compiler() -> str | None:
    """The C++ compiler: $CXX, g++ or clang++. None on Windows, where no form of the loops is known to compile."""
    if platform.system() == "Windows":
        return None
    return os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")


def compile_library(cxx: str, folder: Path, variant: Variant, output: Path) -> str | None:
    """Compile the sources in `folder` for a variant into `output`; None, or what the compiler said went wrong.

    OpenMP's functions stay open: they are torch's own, which is loaded first. Two runtimes would fight over the cores.
    """
    is_clang = "clang" in _output([cxx, "--version"])
    on_macos = platform.system() == "Darwin"
    openmp = ("-Xclang", "-fopenmp") if on_macos else ("-fopenmp",)
    objects = []
    for source in sources(folder)[0]:
        compiled = output.with_name(f"{output.name}.{source.stem}.o")
        objects.append(str(compiled))
        command = [cxx, *FLAGS, *openmp, *variant.flags, "-c", str(source), "-o", str(compiled)]
        if error := _failed(command):
            return error
    # clang's calls are of an OpenMP that torch brings on macOS only: elsewhere it links its own
    link = ("-undefined", "dynamic_lookup") if on_macos else ("-fopenmp",) if is_clang else ()
    return _failed([cxx, "-shared", *objects, *link, "-o", str(output)])


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace", check=False)
    except OSError as error:
        return str(error)
    return done.stdout


def _failed(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace", check=False)
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    said = done.stderr.strip().splitlines()
    return None if done.returncode == 0 else (said[-1] if said else f"{command[0]} ended with code {done.returncode}")
