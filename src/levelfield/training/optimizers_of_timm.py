"""timm's optimisers by name. Those that shipped recipes name are read from their files, without the rest of timm.

timm imports all its networks before any part of it can be used, which takes longer than to import torch. The files of
its optimisers need nothing but torch and one another, and so they are read here as a package of their own.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from levelfield.errors import UserError, unknown
from levelfield.training.newton_schulz import products_dtype
from levelfield.training.projected_updates import projection_by_device

Factory = Callable[..., torch.optim.Optimizer]
ALONE: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "muon": ("muon", "Muon", {}),
    "adamp": ("adamp", "AdamP", {"wd_ratio": 0.01, "nesterov": True}),
    "sgdp": ("sgdp", "SGDP", {"nesterov": True}),
}
"""Names to file, class, and the settings that timm gives it under that name."""
DISTRIBUTED_TENSORS: Final = "torch.distributed.tensor"
"""By what timm's Muon knows such tensors, where there are any. Here there are none, and it would load sympy too."""
ZEROPOWER: Final = "zeropower_via_newtonschulz"
_PACKAGE: Final = "levelfield_timm_optim"


def optimizer_of_timm(name: str, others: list[str]) -> tuple[Factory, dict[str, Any]]:
    """timm's optimiser `name` and the settings that timm gives it. Raises UserError for what it has not.

    `others`: names that are known besides, to be offered for a misspelt one.
    """
    if name in ALONE:
        file, kind, defaults = ALONE[name]
        factory: Factory = getattr(file_of_timm(file), kind)
        return factory, dict(defaults)
    import timm.optim

    try:
        info = timm.optim.get_optimizer_info(name)
    except ValueError:
        raise unknown("optimizer", name, [*others, *timm.optim.list_optimizers()]) from None
    if isinstance(info.opt_class, str):
        raise UserError(f"optimizer {name!r} needs a package that levelfield does not ship; choose another")
    return info.opt_class, dict(info.defaults or {})


def file_of_timm(name: str) -> Any:
    """The module that is `name`.py of timm's optimisers."""
    if _PACKAGE not in sys.modules:
        timm = find_spec("timm")
        assert timm is not None and timm.origin is not None
        spec = ModuleSpec(_PACKAGE, None, is_package=True)
        spec.submodule_search_locations = [str(Path(timm.origin).parent / "optim")]
        sys.modules[_PACKAGE] = module_from_spec(spec)
    with _without(DISTRIBUTED_TENSORS):
        module: Any = importlib.import_module(f"{_PACKAGE}.{name}")
    if hasattr(module, "projection") and not hasattr(module.projection, "by_device"):
        module.projection = projection_by_device(importlib.import_module(f"{_PACKAGE}.adamp"))
        module.projection.by_device = True
    if hasattr(module, ZEROPOWER) and not hasattr(getattr(module, ZEROPOWER), "by_device"):
        setattr(module, ZEROPOWER, _products_by_device(getattr(module, ZEROPOWER)))
    return module


def _products_by_device(timms: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """timm's Newton-Schulz iteration, in what the device multiplies natively unless a `dtype` is given."""

    @wraps(timms)
    def zeropower(matrices: Tensor, *args: Any, dtype: torch.dtype | None = None, **settings: Any) -> Tensor:
        return timms(matrices, *args, dtype=dtype or products_dtype(matrices.device), **settings)

    zeropower.by_device = True  # type: ignore[attr-defined]
    return zeropower


@contextmanager
def _without(module: str) -> Iterator[None]:
    """As if `module` were not installed, where it is not loaded yet."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]
