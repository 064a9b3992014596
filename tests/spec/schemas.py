"""`python tests/spec/schemas.py` writes the JSON Schemas that ship with the package, made from its values."""

from __future__ import annotations

import json

from levelfield.schemas import NAMES, schema_path
from levelfield.studies.declared.json_schemas import make_schema


def text(name: str) -> str:
    return json.dumps(make_schema(name), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name in NAMES:
        schema_path(name).write_text(text(name), encoding="utf-8")
        print(schema_path(name))
