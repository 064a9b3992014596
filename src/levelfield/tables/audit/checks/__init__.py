"""The checks of the audit, a file for each thing that they look at. A new one is named in `CHECKS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from levelfield.tables.audit.checks import (
    copied_runs,
    data_notes,
    equal_tuning,
    failed_runs,
    known_faults,
    leaked_test_images,
    machines,
    recipe_carried_out,
    scores,
    seed_order,
    seeds,
    settings,
    spread,
    starting_weights,
    teachers,
    tested_images,
    training_length,
    tuning,
)
from levelfield.tables.audit.findings import Check

CHECKS: Final[Mapping[str, Check]] = {
    "failures": failed_runs.failures,
    "foreign": settings.foreign,
    "settings": settings.settings,
    "one_setting": settings.one_setting,
    "mends": known_faults.mends,
    "starts": starting_weights.starts,
    "pretraining": starting_weights.pretraining,
    "overlap": starting_weights.overlap,
    "teachers": teachers.teachers,
    "taught_on": teachers.taught_on,
    "test_images": tested_images.test_images,
    "leaks": leaked_test_images.leaks,
    "scores": scores.scores,
    "independent": copied_runs.independent,
    "length": training_length.length,
    "untrained": recipe_carried_out.untrained,
    "selection": recipe_carried_out.selection,
    "resumed": failed_runs.resumed,
    "search": tuning.search,
    "tuning": equal_tuning.tuning,
    "seeds": seeds.seeds,
    "seed_order": seed_order.seed_order,
    "chosen_seeds": seed_order.chosen_seeds,
    "one_start": seed_order.one_start,
    "spread": spread.spread,
    "environment": machines.environment,
    "machines": machines.machines,
    "networks": known_faults.networks,
    "smoothing": recipe_carried_out.smoothing,
    "data": data_notes.known_of_data,
}
"""By key, the function that finds one kind of unfairness among the rows of one panel."""
