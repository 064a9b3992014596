"""The defaults of every key that an identity is made of: recorded, since identities leave keys at their default out.

To change one would give two different sciences one identity: the test that compares this record fails then. A new key
is added to the record by `python tests/spec/defaults.py`, which changes no line that is there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

from levelfield.spec import SCIENCE_VERSION, RunSpec, Value
from levelfield.spec.identity import differing, is_tag

RECORD = Path(__file__).with_name("defaults.json")
REQUIRED = "required"


def science_values() -> list[type[Value]]:
    """Every value class that an identity may be made of: what RunSpec leads to, but for its execution."""
    found: dict[str, type[Value]] = {}

    def visit(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, Value) and annotation.__name__ not in found:
            found[annotation.__name__] = annotation
            for key, field in annotation.model_fields.items():
                if (annotation, key) != (RunSpec, "execution"):
                    visit(field.annotation)
        for part in get_args(annotation):
            visit(part)

    visit(RunSpec)
    return list(found.values())


def present_defaults() -> dict[str, Any]:
    """`Class.key` -> its default; of a value, what differs from that value's own defaults."""
    return {
        f"{kind.__name__}.{key}": REQUIRED
        if field.is_required()
        else differing(field.get_default(call_default_factory=True))
        for kind in science_values()
        for key, field in kind.model_fields.items()
        if (kind, key) != (RunSpec, "execution") and not is_tag(field)
    }


def main() -> None:
    recorded = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    if recorded.get("science_version") != SCIENCE_VERSION:
        recorded = {"science_version": SCIENCE_VERSION, "defaults": {}}  # a new version begins a new record
    recorded["defaults"] = dict(sorted((present_defaults() | recorded["defaults"]).items()))
    RECORD.write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    main()
