"""torch's switch for deterministic algorithms, without the compiler where nothing is compiled."""

from __future__ import annotations

import sys

import torch


def use_deterministic_algorithms(on: bool, *, warn_only: bool, compiles: bool = False) -> None:
    """As torch's function of that name, which tells torch's compiler too and loads it for that, more than torch itself.

    Here the compiler is told where it is loaded already, or where the run `compiles`.
    """
    if compiles or "torch._inductor.config" in sys.modules:
        torch.use_deterministic_algorithms(on, warn_only=warn_only)
    else:
        torch._C._set_deterministic_algorithms(on, warn_only=warn_only)
