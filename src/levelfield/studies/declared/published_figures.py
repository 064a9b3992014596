"""What the authors of the studied networks printed: facts carried in the package, as rows of a table need them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from levelfield.spec.yaml_files import load_yaml

COMPARED = {"top1": 1.0, "top3": 1.0, "top5": 1.0, "f1_macro": 1.0, "loss": 1.0, "params": 1.0, "printed_macs_m": 1e6}
"""Facts that a run measures too, and the factor to result.json's unit. Printed speeds are those of other machines."""
RESULT_KEYS = {"printed_macs_m": "macs"}
MACS_NOTE = "the author prints these MACs as FLOPs, and half of them as MACs"


@dataclass(frozen=True)
class Published:
    """What an author printed for a row.

    `values`: by the keys of result.json (`top1` in percent, `params`, `macs`, ...). `data` and `num_classes`: what it
    was measured on; a row on anything else is "not comparable". `notes`: what a reader must know of the figure.
    """

    values: Mapping[str, float]
    data: str | None = None
    num_classes: int | None = None
    notes: tuple[str, ...] = ()


@cache
def published_facts() -> dict[str, Any]:
    """The package's published.yaml: study name -> setting, data, num_classes, rows."""
    source = resources.files("levelfield.studies") / "published.yaml"
    facts: dict[str, Any] = load_yaml(source.read_text(encoding="utf-8"))
    return facts


def published_row(study: str, key: str) -> Published | None:
    """The published figures of row `key` of a study; None where there are none."""
    section = published_facts().get(study, {})
    facts = section.get("rows", {}).get(key)
    if facts is None:
        return None
    values = {
        RESULT_KEYS.get(name, name): facts[name] * factor
        for name, factor in COMPARED.items()
        if facts.get(name) is not None
    }
    notes = [facts["note"]] if "note" in facts else []
    notes += [MACS_NOTE] if "macs" in values else []
    return Published(
        values=values,
        data=facts.get("data", section.get("data")),
        num_classes=facts.get("num_classes", section.get("num_classes")),
        notes=tuple(notes),
    )


def published_alias(study: str, key: str) -> str:
    """What the author calls the row; empty where the name is the same."""
    return str(published_facts().get(study, {}).get("rows", {}).get(key, {}).get("alias", ""))
