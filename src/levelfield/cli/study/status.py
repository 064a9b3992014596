"""`levelfield study status`: how far each row has come."""

from __future__ import annotations

from levelfield.cli.options import Json
from levelfield.cli.output import print_json
from levelfield.cli.study.from_options import OpenedStudy, on_a_study
from levelfield.cli.study.options import Rows, Seeds
from levelfield.cli.study.plan import find_runs, plan_json, print_plan


@on_a_study
def status(opened: OpenedStudy, seeds: Seeds = None, row: Rows = None, json: Json = False) -> None:
    """Show how far each row has come, without timing anything.

    Example: `levelfield study status quickstart`
    """
    found, stale = find_runs(opened, seeds, row)
    if json:
        print_json("study status", plan_json(found, stale, None))
        return
    print_plan(found, stale, None)
