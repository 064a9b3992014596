"""A network of the caller's own, told apart from others by all that it computes with.

Its digest covers the source of its classes and of the functions that they call (but for installed packages, whose
versions are in environment.json), its printed structure, what its modules and classes hold, told as pickle tells it,
and its weights. What cannot be told (a lock, an open file) makes a digest that never comes again, which is said.
"""

from __future__ import annotations

import copy
import copyreg
import dis
import fnmatch
import hashlib
import inspect
import sys
import sysconfig
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, GetSetDescriptorType, MemberDescriptorType, MethodType, ModuleType
from typing import Final

import torch
from torch import Tensor, nn

from levelfield.errors import UserError
from levelfield.training.processes import announced_size

_INSTALLED: Final = tuple(
    Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "platstdlib", "purelib", "platlib")
)
_PLAIN: Final = (int, float, complex, str, bytes, bool, type(None), torch.dtype, torch.device)
_INTERNAL: Final = frozenset(vars(nn.Module())) - {"_forward_hooks", "_forward_pre_hooks"}


@dataclass(frozen=True)
class OwnModel:
    """How to build the caller's network, called with num_classes; `given` is what the caller gave."""

    name: str
    build: Callable[..., nn.Module]
    given: object

    @classmethod
    def of(cls, model: nn.Module | Callable[..., nn.Module]) -> OwnModel:
        """A module is copied now, and again whenever the network is built: what was given is left as it is.

        Raises UserError for a module that cannot be copied.
        """
        if not isinstance(model, nn.Module):
            return cls(f"own:{getattr(model, '__name__', type(model).__name__)}", model, model)
        try:
            snapshot = copy.deepcopy(model)
        except (RuntimeError, TypeError) as error:
            raise UserError(
                f"{type(model).__name__} cannot be copied, so training would change it: {error}\n"
                "give a function that builds it instead: model=lambda num_classes: ..."
            ) from None
        return cls(f"own:{type(model).__name__}", lambda **_: copy.deepcopy(snapshot), snapshot)

    def digest(self, module: nn.Module) -> str:
        """SHA-256 (16 hex digits) of the network, given as it is built for the run (under its seed)."""
        told = hashlib.sha256()
        untold: list[str] = []
        for text in _told([self.given, module], untold):
            told.update(text.encode(errors="surrogatepass") + b"\0")
        if untold:
            what = f"{self.name} leads to a {untold[0]}, and what that computes cannot be told"
            if announced_size() > 1:
                raise UserError(f"{what}: the processes could not agree on what they train\nlet the module hold none")
            print(f"{what}: a run of its own each time, never taken from a folder or gone on with", file=sys.stderr)
            told.update(uuid.uuid4().bytes)
        return told.hexdigest()[:16]


def check_frozen(module: nn.Module, patterns: Iterable[str]) -> None:
    """Raise UserError where the caller has frozen parameters that the recipe would train."""
    frozen = [name for name, parameter in module.named_parameters() if not parameter.requires_grad]
    left = [name for name in frozen if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    if left:
        raise UserError(
            f"{len(left)} parameters of the module do not require gradients (first {left[0]!r}), but the recipe trains "
            "them\nname them in the recipe's freeze.patterns, or let them require gradients"
        )


def _told(roots: Iterable[object], untold: list[str]) -> Iterator[str]:
    """Texts that say what `roots` are and what they lead to, each once, in an order that only they decide.

    `untold` gets the types of what could not be told.
    """
    seen: dict[int, int] = {}
    kept: list[object] = []  # so that no address is used twice
    ahead: deque[object] = deque(roots)
    while ahead:
        here = ahead.popleft()
        if id(here) in seen and not isinstance(here, _PLAIN):
            yield f"again {seen[id(here)]}"
            continue
        seen.setdefault(id(here), len(seen))
        kept.append(here)
        yield f"{type(here).__module__}.{type(here).__qualname__}"
        if not isinstance(here, (nn.Module, type)) and not _installed(type(here).__module__):
            ahead += [type(here), getattr(here, "__dict__", {})]
        if isinstance(here, _PLAIN):
            yield repr(here)
        elif isinstance(here, Tensor):
            yield _content(here)
        elif isinstance(here, nn.Module):
            yield str(here)
            for name, value in [*here.named_parameters(), *here.named_buffers()]:
                yield f"{name} {_content(value)}"
            for module in here.modules():
                ahead.append(type(module))
                for key, value in vars(module).items():
                    if key not in _INTERNAL:
                        yield key
                        ahead.append(value)
        elif isinstance(here, (Mapping, list, tuple, set, frozenset)):
            yield str(len(here))
            parts = [part for item in here.items() for part in item] if isinstance(here, Mapping) else here
            ahead += sorted(parts, key=repr) if isinstance(here, (set, frozenset)) else parts
        elif isinstance(here, partial):
            ahead += [here.func, here.args, here.keywords]
        elif isinstance(here, MethodType):
            ahead += [here.__func__, here.__self__]
        elif isinstance(here, (type, FunctionType)):
            yield f"{here.__module__}.{here.__qualname__}"
            if not _installed(here.__module__):
                yield _source(here)
                ahead += _leads_to(here)
        elif isinstance(here, ModuleType):
            yield here.__name__
        else:
            told = _as_pickled(here)
            if told is None:
                untold.append(f"{type(here).__module__}.{type(here).__qualname__}")
            else:
                ahead += told


def _as_pickled(here: object) -> list[object] | None:
    """What makes `here` anew, by the rules of pickle: a name, or a function with its arguments, state and items."""
    try:
        reduce = copyreg.dispatch_table.get(type(here))
        made = here.__reduce_ex__(4) if reduce is None else reduce(here)
    except Exception:  # whatever an object that cannot be pickled raises
        return None
    if isinstance(made, str):  # found by its name; behind what wraps a function there may be another one
        return [getattr(here, "__module__", ""), made, getattr(here, "__wrapped__", None)]
    function, arguments, state, items, pairs = (*made, None, None, None)[:5]
    return [function, arguments, state, None if items is None else [*items], None if pairs is None else [*pairs]]


def _installed(module: str) -> bool:
    """Whether a module is levelfield's, Python's or a package's, and not the caller's."""
    if module.partition(".")[0] in ("levelfield", "builtins", "torch"):
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    if module == "__main__" or module not in sys.modules:
        return False
    return file is None or any(Path(file).resolve().is_relative_to(folder) for folder in _INSTALLED)


def _source(thing: type | FunctionType) -> str:
    """The source, or where there is none (typed at a prompt) the compiled code."""
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):
        functions = [thing] if isinstance(thing, FunctionType) else _functions(thing)
        return "\n".join(text for function in functions for text in _compiled(function.__code__))


def _compiled(code: CodeType) -> Iterator[str]:
    yield f"{code.co_name} {code.co_names} {code.co_varnames} {code.co_code.hex()}"
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _compiled(constant)
        else:
            yield repr(constant)


def _functions(kind: type) -> list[FunctionType]:
    """The functions in a class's own body, those of properties, static and class methods too."""
    found: list[object] = []
    for value in vars(kind).values():
        found += [value.fget, value.fset] if isinstance(value, property) else [getattr(value, "__func__", value)]
    return [value for value in found if isinstance(value, FunctionType)]


def _leads_to(thing: type | FunctionType) -> list[object]:
    """What a class inherits from and holds, and what a function refers to by name, encloses or has as defaults."""
    if isinstance(thing, type):
        held = {key: value for key, value in vars(thing).items() if not _by_source(key, value)}
        return [*thing.__bases__, *_functions(thing), held]
    names = {name for code in _codes(thing.__code__) for name in code.co_names}
    found: list[object] = [thing.__defaults__, thing.__kwdefaults__]
    for cell in thing.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # not filled yet
            continue
    for name in sorted(_globals(thing.__code__) & set(thing.__globals__)):
        value = thing.__globals__[name]
        if isinstance(value, ModuleType):
            if not _installed(value.__name__):
                found += [getattr(value, inner) for inner in sorted(names) if hasattr(value, inner)]
        else:
            found.append(value)
    return found


def _by_source(key: str, value: object) -> bool:
    """Whether a class attribute is told otherwise, as a function, or is Python's own bookkeeping."""
    written = (FunctionType, staticmethod, classmethod, property, MemberDescriptorType, GetSetDescriptorType)
    return isinstance(value, written) or (key.startswith("__") and key.endswith("__")) or key == "_abc_impl"


def _globals(code: CodeType) -> set[str]:
    """The names that `code` and the functions in it look up in their module."""
    steps = (step for each in _codes(code) for step in dis.get_instructions(each))
    return {str(step.argval) for step in steps if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}


def _codes(code: CodeType) -> Iterator[CodeType]:
    """`code` and that of the functions in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _content(value: Tensor) -> str:
    """A digest of a tensor's type, shape and values."""
    plain = value.detach().cpu().contiguous()
    told = hashlib.sha256(f"{plain.dtype} {tuple(plain.shape)}".encode())
    told.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b"")
    return told.hexdigest()
