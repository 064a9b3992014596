"""The checks of the audit, a file for each thing that they look at. A new one is named in `CHECKS`."""

from __future__ import annotations

from typing import Final

from levelfield.tables.audit.checks import (
    copied_runs,
    data_notes,
    failed_runs,
    known_faults,
    leaked_test_images,
    machines,
    recipe_carried_out,
    scores,
    seeds,
    settings,
    starting_weights,
    tested_images,
    training_length,
    tuning,
)
from levelfield.tables.audit.findings import Check

CHECKS: Final = (
    Check("failures", failed_runs.failures),
    Check("foreign", settings.foreign),
    Check("settings", settings.settings),
    Check("one_setting", settings.one_setting),
    Check("mends", known_faults.mends),
    Check("starts", starting_weights.starts),
    Check("pretraining", starting_weights.pretraining),
    Check("overlap", starting_weights.overlap),
    Check("test_images", tested_images.test_images),
    Check("leaks", leaked_test_images.leaks),
    Check("scores", scores.scores),
    Check("independent", copied_runs.independent),
    Check("length", training_length.length),
    Check("untrained", recipe_carried_out.untrained),
    Check("selection", recipe_carried_out.selection),
    Check("resumed", failed_runs.resumed),
    Check("search", tuning.search),
    Check("seeds", seeds.seeds),
    Check("environment", machines.environment),
    Check("machines", machines.machines),
    Check("networks", known_faults.networks),
    Check("smoothing", recipe_carried_out.smoothing),
    Check("data", data_notes.known_of_data),
)
