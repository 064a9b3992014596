"""Which compiled loops a processor gets, where from, and what is said of it. Other processors are simulated."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from levelfield.errors import UserError
from levelfield.native import libraries
from levelfield.native.variants import OF_X86, library_name, sources, variants
from levelfield.training.environment import describe_environment

SKYLAKE_X = libraries.variants("x86_64")[1].needs
HASWELL = libraries.variants("x86_64")[2].needs
FAILING = "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho 'no room for you' >&2\nexit 1\n"


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache without libraries, and none packaged."""
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LEVELFIELD_NATIVE", raising=False)
    monkeypatch.setattr(libraries, "PACKAGED", tmp_path / "packaged")
    monkeypatch.setattr(libraries, "library", lambda: None)
    return tmp_path


@pytest.mark.parametrize(
    ("machine", "has", "names"),
    [
        ("x86_64", SKYLAKE_X | {"avx512_bf16", "amx_tile"}, ["avx512_bf16", "avx512", "avx2", "plain"]),
        ("AMD64", SKYLAKE_X, ["avx512", "avx2", "plain"]),
        ("x86_64", HASWELL, ["avx2", "plain"]),
        ("x86_64", SKYLAKE_X - {"avx512vl"}, ["avx2", "plain"]),
        ("x86_64", frozenset(), ["plain"]),
        ("aarch64", {"asimd"}, ["neon"]),
        ("arm64", frozenset(), ["neon"]),
        ("riscv64", frozenset(), ["plain"]),
    ],
)
def test_simulated_processors_get_the_best_that_they_can_run(
    machine: str, has: frozenset[str], names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LEVELFIELD_NATIVE", raising=False)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(libraries, "instruction_sets", lambda: has)
    assert [variant.name for variant in libraries.wanted()] == names


def test_a_variant_can_be_asked_for_by_name_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(libraries, "instruction_sets", lambda: HASWELL)
    monkeypatch.setenv("LEVELFIELD_NATIVE", "plain")
    assert [variant.name for variant in libraries.wanted()] == ["plain"]
    monkeypatch.setenv("LEVELFIELD_NATIVE", "avx512")
    with pytest.raises(
        UserError, match="LEVELFIELD_NATIVE=avx512: this processor lacks its instructions\nit can run avx2"
    ):
        libraries.wanted()
    monkeypatch.setenv("LEVELFIELD_NATIVE", "avx1")
    with pytest.raises(UserError, match="unknown LEVELFIELD_NATIVE 'avx1': did you mean "):
        libraries.wanted()
    monkeypatch.setenv("LEVELFIELD_NATIVE", "0")
    assert libraries.wanted() == ()


def test_what_the_source_asks_of_a_processor_some_variant_has() -> None:
    """A line under `#ifdef __AVX512BF16__` would be compiled nowhere if no variant had that."""
    cpp, headers = sources(libraries.HERE)
    assert cpp
    asked = {
        name for path in (*cpp, *headers) for name in re.findall(r"__(AVX\w+)__", path.read_text(encoding="utf-8"))
    }
    offered = {each.replace("_", "").upper() for variant in OF_X86 for each in variant.needs}
    assert asked <= offered and "AVX512F" in asked


def test_libraries_of_other_sources_or_flags_are_other_files() -> None:
    paths = {libraries.library_path(variant) for variant in (*OF_X86, *variants("aarch64"))}
    assert len(paths) == 5 and all(path.name.startswith("loops-") for path in paths)
    assert {library_name(variant) for variant in OF_X86}.isdisjoint(path.name for path in paths)


def test_without_a_compiler_nothing_is_said_and_a_build_says_what_is_missing(
    no_library: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(libraries, "compiler", lambda: None)
    libraries.build_where_missing()
    assert capfd.readouterr() == ("", "")
    with pytest.raises(UserError, match=r"no C\+\+ compiler found .*\nnetworks run without"):
        libraries.build()


def test_what_cannot_be_compiled_is_tried_once(
    no_library: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With a compiler that always fails."""
    cxx = no_library / "c++"
    cxx.write_text(FAILING, encoding="utf-8")
    cxx.chmod(0o755)
    monkeypatch.setenv("CXX", str(cxx))
    libraries.build_where_missing()
    first, second, *_ = capfd.readouterr().err.splitlines()
    assert first.startswith("building the C++ loops for this processor (") and "once" in first
    assert second == f"note: {cxx} could not build the C++ loops: no room for you"
    libraries.build_where_missing()
    assert capfd.readouterr() == ("", "")
    monkeypatch.setenv("LEVELFIELD_NATIVE", "built")
    for left in (no_library / "cache").rglob("*.failed"):
        left.unlink()
    libraries.build_where_missing()
    assert capfd.readouterr() == ("", "")


def test_a_library_that_is_packaged_comes_first_and_a_broken_one_is_passed_over(tmp_path: Path) -> None:
    """In a process of its own: the packaged file of the best variant is no library, the one that was built is."""
    there = libraries.library()
    if there is None:
        pytest.skip("no library was built")
    broken = tmp_path / library_name(there.variant)
    broken.write_bytes(b"not a library")
    code = (
        "import sys; from pathlib import Path; from levelfield.native import libraries\n"
        "libraries.PACKAGED = Path(sys.argv[1]); print(libraries.library()._name)"
    )

    def loaded() -> str:
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert loaded() == there._name
    broken.write_bytes(Path(there._name).read_bytes())
    assert loaded() == str(broken)


def test_a_run_records_which_loops_computed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    here = libraries.library()
    expected = "none" if here is None else here.variant.name
    assert describe_environment(torch.device("cpu"))["cpp_loops"] == expected
    monkeypatch.setattr(libraries, "library", lambda: None)
    assert describe_environment(torch.device("cpu"))["cpp_loops"] == "none"
