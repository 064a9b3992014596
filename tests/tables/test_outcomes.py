"""Failed and diverged seeds are outcomes of a row, told apart from runs that never began."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from rich.console import Console

from levelfield.tables import Row, build_table
from levelfield.tables.outcomes import outcomes
from levelfield.tables.text.csv import to_csv
from levelfield.tables.text.json import to_json
from levelfield.tables.text.latex import to_latex
from levelfield.tables.text.markdown import to_markdown
from levelfield.tables.text.records import records
from levelfield.tables.text.terminal import to_rich
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


def test_every_form_shows_how_many_seeds_failed(tmp_path: Path) -> None:
    """One row of which two of three seeds failed, one of which all did, one that came through: its count alone."""
    failed = "failed: loss is not finite at step 80"
    rows = [
        Row(name, runs=tuple(
            write_run(tmp_path / name / str(seed), spec_of(name, seed), images=60, status=status)
            for seed, status in enumerate(states)
        ))
        for name, states in {"sound": ("finished",) * 3, "odd": ("finished", failed, failed), "gone": (failed,)}.items()
    ]  # fmt: skip
    table = build_table(rows)
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(to_rich(table))
    assert isinstance(console.file, io.StringIO)
    terminal = " ".join(console.file.getvalue().partition("Top-1:")[0].split())
    assert terminal.count("2 of 3 failed") >= 1 and terminal.count("1 of 1 failed") >= 1
    assert "| odd | 1 (2 of 3 failed) |" in to_markdown(table) and "odd & 1 (2 of 3 failed) &" in to_latex(table)
    assert "| gone | 0 (1 of 1 failed) | failed |" in to_markdown(table) and "| sound | 3 |" in to_markdown(table)
    assert [row["failed"] for row in to_json(table)["rows"]] == [0, 2, 1]
    assert [row["failed"] for row in csv.DictReader(io.StringIO(to_csv(table)))] == ["0", "2", "1"]
