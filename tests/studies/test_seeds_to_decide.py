"""How many seeds a plan says that comparisons take: told from their runs, for the margin that decides them."""

from __future__ import annotations

from pathlib import Path

import pytest

from levelfield.studies.results.seeds_to_decide import seeds_to_decide
from levelfield.tables import Row, StudyRows
from synthetic_runs import spec_of, write_run


@pytest.mark.parametrize(("margin", "gaps"), [(0.5, [0.5, 1.0]), (0.25, [0.25, 1.0]), (1.0, [1.0]), (2.0, [1.0, 2.0])])
def test_runs_are_used_whatever_the_margin(margin: float, gaps: list[float], tmp_path: Path) -> None:
    rows = [
        Row(name, runs=tuple(write_run(tmp_path / name / str(s), spec_of(name, s), images=500) for s in range(3)))
        for name in ("a", "b")
    ]
    rows.append(Row("later", declared=(spec_of("later"),)))
    measured, planned = seeds_to_decide(StudyRows("s", tuple(rows), margin=margin))
    assert measured.basis == "runs (3)" and planned.basis.startswith("prior")
    for one in (measured, planned):
        assert list(one.seeds) == gaps
        needed = [seeds or 1001 for seeds in one.seeds.values()]
        assert needed == sorted(needed, reverse=True)
