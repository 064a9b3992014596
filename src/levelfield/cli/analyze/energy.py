"""`levelfield analyze energy`: what the accuracy of each row took."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from levelfield.cli.analyze.options import Baseline, StudyFolder, finish, show_differences, show_left_out
from levelfield.cli.options import Json, finite
from levelfield.cli.output import show_table
from levelfield.cli.what_was_meant import folder_meant


def energy(
    context: typer.Context,
    study: StudyFolder,
    watts: Annotated[
        float | None,
        typer.Option(
            min=0.1, callback=finite, help="Of runs without a meter: what the machine draws while it trains, in W."
        ),
    ] = None,
    baseline: Baseline = None,
    json: Json = False,
) -> None:
    """Joules of a training, of its images, of inference, and of a point of accuracy above chance.

    Measured where runs had a meter (NVML, RAPL); else estimated from --watts, and named so. Rows are compared by a
    GPU's meter alone. Example: levelfield analyze energy runs/quickstart --watts 30
    """
    from levelfield.analysis.energy import energy as analyse
    from levelfield.analysis.studied_rows import studied

    folder = folder_meant(study)
    answer = analyse(studied(folder, baseline), watts)
    if finish(context, folder, "energy", answer, json):
        _show(answer)


def _show(answer: dict[str, Any]) -> None:
    from levelfield.tables.text.energy import COLUMNS, cells

    lines = [cells(row) for row in answer["rows"]]
    show_table(COLUMNS, lines, COLUMNS[1:-1], title="energy, means over seeds")
    show_left_out(answer)
    show_differences(answer, "energy")
