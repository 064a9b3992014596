"""Errors raised in a user's own network, told as such: the file, its line and the cause."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.models.plugin_files import files_of_plugins
from levelfield.system.memory import memory_exhausted

MISFIT: Final = (RuntimeError, ValueError, AssertionError, IndexError)
"""What torch, and networks that check their input, raise for images of a size that they cannot take."""


class UsersCodeError(UserError):
    """A user's own code failed: the message names its file, the line and the cause."""


def failed_in_plugin(error: BaseException, when: str = "") -> UsersCodeError | None:
    """`error` as one of the user's code, where it came through a plugin or a file beside it; None of any other.

    `when`: what was being done, as in "when model 'mine' was built".
    """
    if isinstance(error, UserError) or memory_exhausted(error):
        return None
    return None if (place := _place(error, files_of_plugins())) is None else _told(place, error, when)


def failed_to_build(
    error: Exception, name: str, builder: Callable[..., Any], given: Mapping[str, Any]
) -> UsersCodeError | None:
    """`error`, raised when model `name` was built, as one of its builder's; None of levelfield's own builders.

    Where no line of the user's was reached (a parameter is missing), the one that defines the builder is named.
    """
    if isinstance(error, UserError) or memory_exhausted(error) or is_ours(builder):
        return None
    file, line = _definition(builder)
    place = _place(error, {*files_of_plugins(), *([file] if file else [])}) or (file, line)
    keywords = ", ".join(f"{key}={value!r}" for key, value in given.items())
    return _told(place, error, f"when model {name!r} was built", f"it was called with {keywords}")


def failed_on_images(error: Exception, name: str, forward: Callable[..., Any], side_px: int) -> UserError:
    """`error`, raised by `forward` of a user's network `name` for images of `side_px`: a slip, or a misfit."""
    file, _ = _definition(forward)
    place = _place(error, {*files_of_plugins(), *([file] if file else [])})
    slip = not isinstance(error, MISFIT) or isinstance(error, (NotImplementedError, RecursionError))
    if slip and place is not None:
        return _told(
            place, error, f"in forward of model {name!r}", f"it was given 2 images of 3 channels, {side_px} px"
        )
    where = "" if place is None else f"; {place[0]} line {place[1]}"
    remedy = "mend it there" if slip else "let it fit the data, or give the data another image_size"
    return UserError(f"{name} cannot take images of 3 channels and {side_px} px ({cause(error)}{where})\n{remedy}")


def _told(place: tuple[Path | None, int], error: BaseException, when: str, given: str = "") -> UsersCodeError:
    file, line = place
    what = "a model's code" if file is None else f"plugin {file}" if file in files_of_plugins() else str(file)
    at = f" at line {line}" if line else ""
    then = f"mend it there; {given}" if given else "mend it there"
    return UsersCodeError(f"{what} failed{at}{', ' if when else ''}{when}: {cause(error)}\n{then}")


def cause(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    return ": ".join([type(error).__name__, *str(error).splitlines()[:1]])


def _place(error: BaseException, files: Collection[Path]) -> tuple[Path, int] | None:
    """The innermost line of one of `files` that `error` came through."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if (file := Path(frame.filename).resolve()) in files:
            return file, frame.lineno or 0
    return None


def _definition(made: Any) -> tuple[Path | None, int]:
    """The file and line that define a function or class; None and 0 where there is none, as of what was typed."""
    made = inspect.unwrap(_innermost(made))
    try:
        return Path(inspect.getsourcefile(made) or "").resolve(), inspect.getsourcelines(made)[1]
    except (OSError, TypeError):
        return None, 0


def _innermost(made: Any) -> Any:
    while isinstance(made, partial):
        made = made.func
    return made


def is_ours(builder: Callable[..., Any]) -> bool:
    """Whether levelfield itself defines what builds a model."""
    return str(getattr(_innermost(builder), "__module__", "")).partition(".")[0] == "levelfield"
