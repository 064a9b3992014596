"""How long threads that wait for one another spin before they sleep: briefly, as other programs may want the cores.

torch's threads meet after every operation, and libgomp lets the early ones spin for milliseconds. Where other programs
want the cores too, that burns the very time that the late one waits for, and a step takes many times as long. On an
idle machine a short spin costs a very small network about 7 %.
"""

from __future__ import annotations

from collections.abc import MutableMapping


def spin_briefly(environment: MutableMapping[str, str]) -> None:
    """Let the threads of a process with this `environment` spin briefly, unless it says something else of it already.

    libgomp reads it when torch is loaded.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", "2000")
