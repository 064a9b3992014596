"""Which system this is. Tests set these names to play another one."""

from __future__ import annotations

import sys
from typing import Final

WINDOWS: Final[bool] = sys.platform.startswith("win32")
MACOS: Final[bool] = sys.platform.startswith("darwin")
