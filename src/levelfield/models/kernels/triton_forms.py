"""Whether the Triton forms of the kernels are wanted. They are imported where a map on a GPU first asks for them.

Not before: whether there is a GPU may be asked of the driver only in the process that uses it. A study's worker imports
this package and forks a process for every run; once its own process has asked, none of them can use the GPU.
"""

from __future__ import annotations

import importlib.util
from functools import cache

from levelfield.native.libraries import switched_off


@cache
def has_triton() -> bool:
    """Whether Triton is installed, and the fast forms are not switched off (LEVELFIELD_NATIVE=0)."""
    return not switched_off() and importlib.util.find_spec("triton") is not None
