"""torch's optimisers where nothing is compiled: left to themselves they load torch's compiler, to keep it off them.

`Optimizer.add_param_group` and its like are marked for the compiler when they are first called
(`levelfield.without_compiler`), and `step` tells it where graphs break.
"""

from __future__ import annotations

from types import MethodType
from typing import Any, Final

import torch

from levelfield.without_compiler import compiler_is_loaded, put_off_mark

MARKED: Final = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def put_off_marks() -> None:
    """Let the methods of all optimisers be marked once the compiler is loaded."""
    for name in MARKED:
        put_off_mark(getattr(torch.optim.Optimizer, name))


def put_off_breaks(optimizer: torch.optim.Optimizer) -> None:
    """Let `optimizer.step` tell the compiler of breaks once that is loaded. What else it does, hooks and the mode of
    gradients, stays; an optimiser whose step tells nothing is left as it is."""
    telling = getattr(type(optimizer).step, "__wrapped__", None)
    step = getattr(telling, "__wrapped__", None)
    if telling is None or step is None or telling.__code__.co_name != "_use_grad":
        return

    def stepped(self: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
        if compiler_is_loaded():
            return telling(self, *args, **kwargs)
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return step(self, *args, **kwargs)

    hooked = torch.optim.Optimizer.profile_hook_step(stepped)
    optimizer.step = MethodType(hooked, optimizer)  # type: ignore[method-assign]
