"""docs/ARCHITECTURE.md is current: what is drawn on it follows from the code, and what is written names what exists."""

from __future__ import annotations

import re

from draw_house import PAGE, drawn
from test_architecture import SOURCE


def test_the_page_is_drawn_from_the_code_as_it_is() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == drawn(page), "docs/ARCHITECTURE.md is stale: run `python tests/draw_house.py` and commit the page"


def test_every_place_that_it_names_is_there() -> None:
    written = re.sub(r"<!-- drawn: (\w+) -->.*?<!-- end of \1 -->", "", PAGE.read_text(encoding="utf-8"), flags=re.S)
    named = set(re.findall(r"`(\w+/[\w/]*(?:\.py|\.yaml|\.json)?)`", written))
    assert len(named) > 20
    assert {name for name in named if not any((root / name).exists() for root in (SOURCE, SOURCE.parents[1]))} == set()
