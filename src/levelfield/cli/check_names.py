"""Names that a command was given, looked up before torch is loaded: a misspelt one is answered at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from levelfield.cli.output import messages
from levelfield.errors import UserError, unknown

if TYPE_CHECKING:
    from levelfield.spec import RunSpec

DTYPES: Final = ("fp32", "bf16", "fp16")
"""What a network computes in by autocast, as `levelfield.precision` has it."""


def check_run(spec: RunSpec) -> None:
    """Raise UserError where model, data set or teacher of `spec` are not there, or its device can be none."""
    from levelfield.data.sources.locate import find
    from levelfield.known_models import plugin_file
    from levelfield.runs import RunFolder

    check_device(spec.execution.device)
    for plugin in spec.plugins:
        plugin_file(plugin.path)
    check_models([spec.model.name], [plugin.path for plugin in spec.plugins])
    find(spec.data.name, spec.execution.data_dir)
    if spec.recipe.distil is not None:
        RunFolder(Path(spec.recipe.distil.teacher).expanduser()).check_has_weights("recipe.distil.teacher")


def check_some_data(specs: Iterable[RunSpec]) -> None:
    """Raise UserError where the data set of none of `specs` is there: nothing of them could be trained."""
    from levelfield.data.sources.locate import find

    problems = []
    for name, folder in dict.fromkeys((spec.data.name, spec.execution.data_dir) for spec in specs):
        try:
            find(name, folder)
        except UserError as problem:
            problems.append(problem)
        else:
            return
    if problems:
        raise problems[0]


def check_folder(folder: Path) -> None:
    """Raise UserError where no run can be written to `folder`: a file is there or above it, or one may not write."""
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    why = "not yours to write in" if above.is_dir() else "a file"
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise UserError(f"output folder {folder} cannot be written: {above} is {why}\nchoose another with --out")


def may_write(folder: Path) -> bool:
    """Whether results in `folder` may be written beside; where not (somebody else's results), that is said."""
    if os.access(folder, os.W_OK):
        return True
    messages.print(f"{folder} is not yours to write in: nothing is written there", soft_wrap=True)
    return False


def check_models(names: Sequence[str], plugins: Sequence[str] = ()) -> None:
    """Raise UserError for a name that stands for no model; `plugins` are asked only for what is not known without."""
    from levelfield.studies.declared.expand_rows import check_model

    for name in names:
        if Path(name).is_dir() and "/" in name:
            raise UserError(
                f"{name} is a folder, no model: levelfield eval {name} tests a run, and what it costs\n"
                f"levelfield profile --run {name} measures its network"
            )
        check_model(name, plugins)


def check_device(name: str, dtype: str = "fp32") -> None:
    """Raise UserError for what names no device, is no dtype, or does not go together whatever the machine has."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise UserError(f"unknown device {name!r}: give auto, cpu, cuda, cuda:N or mps")
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    if dtype == "fp16" and name == "cpu":
        raise fp16_on_cpu()


def fp16_on_cpu() -> UserError:
    """The error for what no CPU computes fast enough to be measured."""
    return UserError("dtype fp16 needs a GPU: give --dtype bf16 or fp32 on a CPU")
