"""What torch marks for its compiler at the first call, marked once the compiler is loaded: to load it takes long.

torch keeps some functions out of what it compiles (`torch._disable_dynamo`): at their first call it imports
`torch._dynamo`, half as long again as torch itself, only to be told so. As long as nobody has loaded the compiler
nothing can be compiled, and the mark may wait. timm and torchvision ask for the compiler while they are imported, to
mark functions and for one question that no network asks; they too get it once there is something to compile.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from torch._compile import _disable_dynamo

MARK: Final = "__dynamo_disable"
"""Where torch keeps, on a function that it marked, what it calls in its place."""
COMPILER: Final = "torch._dynamo"


def compiler_is_loaded() -> bool:
    """Whether anything has imported torch's compiler."""
    return COMPILER in sys.modules


def put_off_mark(marked: Callable[..., Any]) -> None:
    """Let `marked`, which torch marks at its first call, be marked at the first call with the compiler loaded."""
    function = getattr(marked, "__wrapped__", None)
    if function is None or hasattr(function, MARK):
        return

    def unmarked(*args: Any, **kwargs: Any) -> Any:
        if not compiler_is_loaded():
            return function(*args, **kwargs)
        import torch._dynamo

        now = torch._dynamo.disable(function, True, wrapping=False)  # type: ignore[no-untyped-call]
        setattr(function, MARK, now)
        return now(*args, **kwargs)

    setattr(function, MARK, unmarked)


def import_without_compiler(name: str) -> Any:
    """The module `name`, imported while a `_Later` stands for torch's compiler, where nobody has loaded that."""
    if name in sys.modules or compiler_is_loaded():
        return importlib.import_module(name)
    compiler = _Later(COMPILER, disable=_disable)
    its_tools = _Later(f"{COMPILER}.utils", is_compile_supported=_is_compile_supported)
    sys.modules[COMPILER], sys.modules[f"{COMPILER}.utils"] = compiler, its_tools
    try:
        return importlib.import_module(name)
    finally:
        for each in (compiler, its_tools):
            if sys.modules.get(each.__name__) is each:
                del sys.modules[each.__name__]


class _Later(ModuleType):
    """Stands for a module of the compiler that is not loaded: has what is `known`, and loads it for anything else."""

    def __init__(self, name: str, **known: Callable[..., Any]) -> None:
        super().__init__(name)
        vars(self).update(known)

    def __getattr__(self, asked: str) -> Any:
        for_a_part_of_it = asked == "__path__" and self.__name__ == COMPILER
        if asked.startswith("__") and not for_a_part_of_it:  # `inspect` looks through all modules that are loaded
            raise AttributeError(asked)
        for name in (COMPILER, f"{COMPILER}.utils"):
            if isinstance(sys.modules.get(name), _Later):
                del sys.modules[name]
        return getattr(importlib.import_module(self.__name__), asked)


def _disable(function: Any = None, recursive: bool = True, *, reason: str | None = None, wrapping: bool = True) -> Any:
    """What keeps a function out of what is compiled, as torch marks its own: at the first call."""
    return _disable_dynamo(function, recursive)


def _is_compile_supported(device_type: Any) -> Any:
    from torch._dynamo.utils import is_compile_supported

    return is_compile_supported(device_type)
