"""`levelfield study status`: how far each row has come."""

from __future__ import annotations

from levelfield.cli.options import DataDir, Json
from levelfield.cli.output import print_json
from levelfield.cli.study.from_options import as_asked
from levelfield.cli.study.options import Name, Out, PluginsAsRun, Rows, ScaleName, Seeds, SetAsRun
from levelfield.cli.study.plan import find_runs, plan_json, print_plan


def status(
    name: Name,
    scale: ScaleName = None,
    seeds: Seeds = None,
    row: Rows = None,
    set_: SetAsRun = None,
    out: Out = None,
    data_dir: DataDir = None,
    plugin: PluginsAsRun = None,
    json: Json = False,
) -> None:
    """Show how far each row has come, without timing anything.

    Example: `levelfield study status quickstart`
    """
    found, stale = find_runs(as_asked(name, scale, out, set_, plugin, data_dir), seeds, row)
    if json:
        print_json(plan_json(found, stale, None))
        return
    print_plan(found, stale, None)
