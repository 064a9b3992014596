"""Every benchmark that can be run stands in the list that says what it shows."""

from __future__ import annotations

import re
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_every_script_is_in_the_list_with_what_it_shows() -> None:
    scripts = {path.name for path in BENCHMARKS.glob("*.py") if "if __name__ ==" in path.read_text(encoding="utf-8")}
    rows = re.findall(r"^\| `(\S+?)` \| (.+?) \| `.+`", (BENCHMARKS / "README.md").read_text(encoding="utf-8"), re.M)
    listed = {name: shows for name, shows in rows if name.endswith(".py")}
    assert len(scripts) > 20 and scripts == set(listed), scripts ^ set(listed)
    assert all(len(shows) > 20 for shows in listed.values())
