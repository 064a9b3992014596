"""Names that a command was given, looked up before torch is loaded: a misspelt one is answered at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from levelfield.spec import RunSpec


def check_run(spec: RunSpec) -> None:
    """Raise UserError where the model or the data set of `spec` is not there."""
    from levelfield.data.sources.locate import find

    check_models([spec.model.name], [plugin.path for plugin in spec.plugins])
    find(spec.data.name, spec.execution.data_dir)


def check_models(names: Sequence[str], plugins: Sequence[str] = ()) -> None:
    """Raise UserError for a name that stands for no model; `plugins` are asked only for what is not known without."""
    from levelfield.studies.declared.expand_rows import check_model

    for name in names:
        check_model(name, plugins)
