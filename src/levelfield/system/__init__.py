"""What Linux, macOS and Windows do differently: locks, renames, memory, processors. No other room calls it by name.

Each function says what it does where a system cannot do it. `tests/system/` plays the other systems on this one.
"""

from __future__ import annotations
