"""Where the compiled loops come from: inside an installed wheel, else built for this processor into the user's cache.

`LEVELFIELD_NATIVE` chooses: `0` plain torch, the name of a variant (`avx2`) that one and no other, `built` what is
there already and nothing anew. `LEVELFIELD_CACHE` moves the cache.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

import torch

from levelfield.data.cache_folder import cache_dir, only_one
from levelfield.errors import UserError, unknown
from levelfield.native.variants import (
    FLAGS,
    NAMES,
    Variant,
    compile_library,
    compiler,
    library_name,
    sources,
    variants,
)
from levelfield.system.files import rename
from levelfield.system.machine import instruction_sets

HERE: Final = Path(__file__).parent
PACKAGED: Final = HERE / "packaged"
"""Where a platform wheel has its libraries, one a variant."""
BUILT: Final = "built"
OFF: Final = "0"
WITHOUT: Final = "networks run without, some slower, in plain torch"


def switched_off() -> bool:
    """Whether networks are to be computed in plain torch."""
    return os.environ.get("LEVELFIELD_NATIVE") == OFF


def wanted() -> tuple[Variant, ...]:
    """The variants that this processor can run and the environment allows, the fastest first.

    Raises UserError for a name in LEVELFIELD_NATIVE that is none, or whose instructions the processor lacks.
    """
    if switched_off():
        return ()
    named = os.environ.get("LEVELFIELD_NATIVE", "")
    has = instruction_sets()
    able = tuple(each for each in variants(platform.machine()) if each.needs <= has)
    if named in ("", "1", BUILT):
        return able
    if named not in NAMES:
        raise unknown("LEVELFIELD_NATIVE", named, (*NAMES, OFF, BUILT))
    if found := tuple(each for each in able if each.name == named):
        return found
    names = ", ".join(each.name for each in able)
    raise UserError(f"LEVELFIELD_NATIVE={named}: this processor lacks its instructions\nit can run {names}")


def library_path(variant: Variant | None = None) -> Path:
    """The file that a variant (None: the fastest here) of these sources is built into; it need not exist."""
    chosen = variant or next(iter(wanted()), variants(platform.machine())[-1])
    texts = [path.read_text(encoding="utf-8") for files in sources(HERE) for path in files]
    digest = hashlib.sha256("\0".join((*texts, *FLAGS, *chosen.flags)).encode()).hexdigest()[:16]
    return cache_dir() / "native" / library_name(chosen, f"-{digest}")


def build(variant: Variant | None = None) -> Path:
    """Compile a variant (None: the fastest here) unless it is there. Raises UserError where that fails.

    What cannot be built is marked as such beside it, so that `build_where_missing` does not try again at every run.
    """
    chosen = variant or next(iter(wanted()), variants(platform.machine())[-1])
    target = library_path(chosen)
    if target.exists():
        return target
    if (cxx := compiler()) is None:
        raise UserError(f"no C++ compiler found (g++ or clang++)\n{WITHOUT}")
    with only_one(target):
        if not target.exists():
            failed = target.with_suffix(".failed")
            with tempfile.TemporaryDirectory(dir=target.parent) as folder:
                output = Path(folder) / target.name
                if error := compile_library(cxx, HERE, chosen, output):
                    failed.write_text(error + "\n", encoding="utf-8")
                    raise UserError(f"{cxx} could not build the C++ loops: {error}\n{WITHOUT}")
                rename(output, target)
            failed.unlink(missing_ok=True)
    library.cache_clear()
    return target


def build_where_missing() -> None:
    """Build the loops for this processor before a run that may use them, and say so; where that cannot be, not."""
    if switched_off() or os.environ.get("LEVELFIELD_NATIVE") == BUILT or library() is not None:
        return
    chosen = wanted()[0]
    if compiler() is None or (target := library_path(chosen)).exists() or target.with_suffix(".failed").exists():
        return
    print(
        f"building the C++ loops for this processor ({chosen.name}), once: about a minute; LEVELFIELD_NATIVE=0: never",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    try:
        build(chosen)
    except (UserError, OSError) as error:
        print(f"note: {error}", file=sys.stderr, flush=True)


class Loops(ctypes.CDLL):
    """A loaded library; `variant` is whose instructions it has."""

    variant: Variant


@functools.cache
def library() -> Loops | None:
    """The fastest library that is there for this processor, or None: not built, switched off, or not loadable here."""
    for variant in wanted():
        for path in (PACKAGED / library_name(variant), library_path(variant)):
            if path.exists():
                with suppress(OSError):
                    _share_openmp()
                    found = Loops(str(path))
                    found.variant = variant
                    return found
    return None


def variant_in_use() -> str:
    """The variant that computes here by its name, `none` for plain torch: results differ in their last digits."""
    found = library()
    return "none" if found is None else found.variant.name


def _share_openmp() -> None:
    """Let a library find the functions of OpenMP that torch brought: it has none of its own."""
    folder = Path(torch.__file__).parent / "lib"
    for pattern in ("libgomp*.so*", "libiomp5*", "libomp*.dylib"):
        for path in sorted(folder.glob(pattern))[:1]:
            ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
