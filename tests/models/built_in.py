"""The facts and counts of all built-in models, as `levelfield.known_models` keeps them: counted on the networks.

`python tests/models/built_in.py` writes `built_in.json` anew; `test_known_models.py` holds it to the networks.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from levelfield.cost import count_macs, count_parameters
from levelfield.models import list_models, model_info, on_meta

RECORD = Path(str(resources.files("levelfield.known_models") / "built_in.json"))


def facts(name: str) -> dict[str, Any]:
    """What the record holds of one model."""
    info = model_info(name)
    network = on_meta(name)
    return {
        "family": info.family,
        "num_classes": info.num_classes,
        "image_size": info.image_size,
        "params": count_parameters(network).total,
        "macs": count_macs(network, info.image_size).total,
        "options": None if info.options is None else sorted(info.options),
        "published": dict(info.published),
        "switches": dict(info.switches),
    }


def main() -> None:
    names = [name for name in list_models() if model_info(name).plugin is None]
    RECORD.write_text(json.dumps({name: facts(name) for name in names}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
