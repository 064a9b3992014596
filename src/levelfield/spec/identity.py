"""The identity of a run: a hash over those of its values that are used and that differ from their defaults.

A key that is left at its default is not hashed, so a key that is added later leaves every identity as it was; what the
defaults of a SCIENCE_VERSION are is on record in tests/spec/defaults.json, since to change one would make two different
sciences one. What is used where it stands is told in `used_keys.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from levelfield.errors import UserError
from levelfield.spec.run_parts import Execution, RunValues
from levelfield.spec.science_revisions import revisions
from levelfield.spec.used_keys import used
from levelfield.spec.values import Value

SCIENCE_VERSION: Final = 1
"""Raised on purpose whenever equal science gives other numbers than before: part of every identity."""


def science(run: RunValues) -> dict[str, Any]:
    """`RunSpec.science`."""
    spec = used(run)
    values = spec.model_dump(mode="json", exclude={"execution": True, "recipe": {"name", "description"}})
    values["recipe"].pop("validation")  # it is data.validation now
    if run.data.checksum is not None and run.data.own_place:
        values["data"].pop("name")
    return _without_places(values) | _counting(spec, revisions(run))


def identity(run: RunValues, mends: Sequence[str] | None = None) -> str:
    """`RunSpec.identity`."""
    if missing := run.unresolved():
        raise UserError("a run has no identity before it is resolved; open: " + ", ".join(missing))
    spec = used(run.parse(run.model_dump(warnings=False), "run"))  # equal values in one form: 2 epochs, 2.0 too
    values = differing(spec.model_copy(update={"execution": Execution()}))
    for key in ("name", "on_bad_image"):
        values["data"].pop(key, None)  # the checksum says what was read
    if spec.data.resize_px == spec.data.image_size:
        values["data"].pop("resize_px", None)
    hashed = _without_places(values) | _counting(spec, revisions(run) if mends is None else sorted(mends))
    canonical = json.dumps([SCIENCE_VERSION, hashed], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def differing(value: Any) -> Any:
    """`value` as plain JSON, without the keys of values that equal their defaults.

    A key that every member of a union has with a value of its own (`name: cosine`) stays: it tells the kinds apart.
    """
    if isinstance(value, Value):
        kept = {}
        for key, field in type(value).model_fields.items():
            item = getattr(value, key)
            if field.is_required() or is_tag(field) or item != field.get_default(call_default_factory=True):
                kept[key] = differing(item)
        return kept
    if isinstance(value, Mapping):
        return {key: differing(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [differing(item) for item in value]
    return value


def is_tag(field: FieldInfo) -> bool:
    """Whether a key can have one value only, so that it says of which kind its value is."""
    return get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1


def _without_places(values: dict[str, Any]) -> dict[str, Any]:
    for plugin in values.get("plugins", ()):
        plugin.pop("path")
    if (start := values["model"].get("start_from")) is not None and start.get("digest"):
        start.pop("source")
        start.pop("channels", None)  # the digest is of their shapes, too
    if (distil := values["recipe"].get("distil")) is not None and distil.get("teacher_digest"):
        distil.pop("teacher")
    return values


def _counting(spec: RunValues, mends: Sequence[str]) -> dict[str, Any]:
    """What of the execution of `spec` is science, and the mends that bear on the run."""
    counting: dict[str, Any] = {}
    if spec.execution.micro_batch is not None:
        counting["micro_batch"] = spec.execution.micro_batch
    if spec.recipe.batchnorm == "local" and (spec.execution.processes or 1) > 1:
        counting["processes"] = spec.execution.processes
    if mends:
        counting["revisions"] = mends
    return counting
