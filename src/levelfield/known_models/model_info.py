"""One model's facts as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

TIMM: Final = "timm:"
"""What names of timm's models begin with."""


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model before it is built.

    `num_classes` and `image_size` (px) are its published setting. `published` holds facts for reports: `params`,
    `macs_m` (millions), `alias` (the name in the published table where that misleads), `note` (what a reader of its
    numbers must know: what is wrong with it as published). `options` are the
    keywords that `create_model` takes for it (None: not known beforehand). `plugin` is the user's file it came from.
    `switches` are those options that stand for parts of the network, each with its positions, its own first.
    """

    name: str
    family: str
    num_classes: int
    image_size: int
    published: Mapping[str, Any] = field(default_factory=dict)
    options: frozenset[str] | None = frozenset()
    plugin: Path | None = None
    switches: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """What tables and audits print of it; empty where there is nothing to say."""
        return str(self.published.get("note", ""))
