"""Failed and diverged seeds are outcomes of a row, told apart from runs that never began."""

from __future__ import annotations

from pathlib import Path

from levelfield.tables import Row, build_table
from levelfield.tables.outcomes import outcomes
from levelfield.tables.text.markdown import to_markdown
from levelfield.tables.text.records import records
from synthetic_runs import spec_of, write_run


def test_every_seed_has_an_outcome(tmp_path: Path) -> None:
    runs = (
        write_run(tmp_path / "0", spec_of("a", 0), images=60),
        write_run(tmp_path / "1", spec_of("a", 1), images=60, status="failed: loss is not finite at step 80"),
        write_run(tmp_path / "2", spec_of("a", 2), images=60, status="failed: killed"),
    )
    row = Row("a", runs=runs, planned=(0, 1, 2, 3, 4, 5), failures={3: "out of memory at step 2", 4: "no data here\nx"})
    table = build_table([row])
    found = {outcome.seed: (outcome.state, outcome.why) for outcome in outcomes(table.rows[0].runs)}
    assert found == {
        0: ("finished", ""),
        1: ("diverged", "loss is not finite at step 80"),
        2: ("failed", "killed"),
        3: ("failed", "out of memory at step 2"),
        4: ("could not begin", "no data here"),
        5: ("not run", ""),
    }
    assert (table.rows[0].n, table.rows[0].failed) == (1, 3)
    assert records(table)[0]["failed"] == 3
    assert "| 1 (3 of 4 failed) |" in to_markdown(table)
