"""The wheel: pure, or with LEVELFIELD_WHEEL=platform the C++ loops compiled into it, one library a variant.

A pure wheel works everywhere and builds the loops at the first run where there is a compiler. In a platform wheel the
best of its libraries that the processor can run is loaded.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NATIVE = Path("src", "levelfield", "native")


class Loops(BuildHookInterface[Any]):
    """Compiles the loops into a platform wheel. An editable install and a pure wheel are left as they are."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or os.environ.get("LEVELFIELD_WHEEL", "pure") == "pure":
            return
        folder = Path(self.root) / NATIVE
        loops = _variants(folder / "variants.py")
        cxx = loops.compiler()
        if cxx is None:
            raise RuntimeError(
                "LEVELFIELD_WHEEL=platform needs a C++ compiler (g++ or clang++); without it: a pure wheel"
            )
        self._built = tempfile.TemporaryDirectory(prefix="levelfield-loops-")
        for variant in loops.variants(platform.machine()):
            output = Path(self._built.name) / loops.library_name(variant)
            self.app.display_info(f"compiling the loops for {variant.name}")
            if error := loops.compile_library(cxx, folder, variant, output):
                raise RuntimeError(f"the loops for {variant.name} do not compile: {error}")
            build_data["force_include"][str(output)] = f"levelfield/native/packaged/{output.name}"
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-" + sysconfig.get_platform().replace("-", "_").replace(".", "_")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_built"):
            self._built.cleanup()


def _variants(path: Path) -> Any:
    """The module that says how to compile, without levelfield or torch, which a build does not install."""
    specification = importlib.util.spec_from_file_location("levelfield_variants", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module
