"""Where a command writes: results to stdout, everything else to stderr; `--json` leaves nothing but JSON on stdout."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console

console = Console()
"""Results for a person (tables). NO_COLOR and a stdout that is no terminal are honoured by Rich."""

messages = Console(stderr=True)
"""Progress, notes, warnings and errors."""


def print_json(value: Any) -> None:
    """Write `value` (plain JSON values) to stdout, indented, and flush."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()
