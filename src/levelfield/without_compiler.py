"""What torch marks for its compiler at the first call, marked once the compiler is loaded: to load it takes long.

torch keeps some functions out of what it compiles (`torch._disable_dynamo`): at their first call it imports
`torch._dynamo`, half as long again as torch itself, only to be told so. As long as nobody has loaded the compiler
nothing can be compiled, and the mark may wait.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

MARK: Final = "__dynamo_disable"
"""Where torch keeps, on a function that it marked, what it calls in its place."""


def compiler_is_loaded() -> bool:
    """Whether anything has imported torch's compiler."""
    return "torch._dynamo" in sys.modules


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
