"""How rows get to where they end: what `levelfield analyze curves` found, as a section of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from levelfield.page import markup
from levelfield.page.charts.chart import Chart, Spec, colour_scale, singled_out
from levelfield.page.charts.lines_with_bands import lines_with_bands
from levelfield.page.figure import figures, save
from levelfield.page.markup import folded, line, paragraph, tag, text
from levelfield.page.section import Section
from levelfield.page.sections.measured_differences import left_out, measured_differences, of_other_runs
from levelfield.page.verdict_marks import chip
from levelfield.tables.lists_in_words import not_counted, untold_crossings
from levelfield.tables.number_format import NONE, censored_mean, last_crossing, percent, seeds_never
from levelfield.tables.table import StudyTable

Answer = Mapping[str, Any]
AXES: Final = (
    ("images", 1e3, "thousand images seen", "By images"),
    ("macs", 1e12, "training MACs (T)", "By compute"),
    ("joules", 1e3, "kJ of training", "By energy"),
)
"""Field, unit, axis and title; epochs and time stand under the learning curves."""


def curves(table: StudyTable, answer: Answer) -> Section:
    """Charts over images, compute and energy, how long each row takes to the accuracy, where curves cross, and what
    earlier stops would say."""
    several = len(answer["panels"]) > 1
    charts: list[Chart] = []
    parts = [of_other_runs(table, answer, "curves")]
    for number, panel in enumerate(answer["panels"]):
        on = f" on {panel['panel']}" if several else ""
        own = [chart for axis in AXES if (chart := _chart(table, panel, number, axis)) is not None]
        own = [chart.on(panel["panel"]) for chart in own] if several else own
        charts += own
        parts += [
            paragraph(f"Top-1 by epoch{on} is of {panel['split']} ({panel['metric']})."), figures(own),
            _to_target(panel, number, on), _crossings(panel, number, on, answer["baselines"].get(panel["panel"])),
            _stops(panel, number, on, answer["baselines"].get(panel["panel"])),
        ]  # fmt: skip
        parts.append(left_out(panel))
    parts.append(measured_differences(table, answer, "analysis-curves-differences"))
    return Section("analysis-curves", "How it gets there", "".join(parts), charts=tuple(charts))


def _chart(table: StudyTable, panel: Answer, number: int, axis: tuple[str, float, str, str]) -> Chart | None:
    """The curves over what they took; None where a row does not say it, or where it is the same picture as by epoch."""
    field, unit, title, name = axis
    rows = [row for row in panel["rows"] if row["points"]]
    every = [point for row in rows for point in row["points"]]
    if not every or any(point.get(field) is None for point in every):
        return None
    if len({round(point[field] / point["epochs"]) for point in every}) == 1:
        return None
    known = {row["row"] for row in rows}
    names, chosen = singled_out([row for row in table.measured if row.name in known])
    values: list[Spec] = [
        {"row": row["row"], "name": row["title"], field: point[field] / unit, "mean": point["mean"],
         "low": point["lowest"], "high": point["highest"], "shown": row["row"] in names}
        for row in rows for point in row["points"]
    ]  # fmt: skip
    spec = lines_with_bands(colour_scale(table.rows), values, field, title, "top-1 (%)")
    note = "Line: mean over seeds. Band: lowest to highest seed."
    note += " A step counts as three forward passes of its images." if field == "macs" else ""
    note += f" Energy of {panel['meter']}." if field == "joules" else ""
    return Chart(f"curves-{field}-{number}", name, note + chosen, f"Learning curves: top-1 against {title}.", spec)


def _to_target(panel: Answer, number: int, on: str) -> str:
    lines = []
    for row in panel["rows"]:
        found = row["to_target"]
        reached = f"{found['reached']} of {found['runs']}"
        cells = censored_mean(found["epochs"], 1), censored_mean(found["seconds"], 0), seeds_never(found)
        last = percent(row["points"][-1]["mean"]) if row["points"] else "–"
        lines.append(line(row["title"], last, reached, *cells, data_of=row["row"]))
    columns = ("row", "at the end %", "reached by", "epochs", "seconds of training", "seeds that never did")
    asked = "" if panel["stated"] else " (90 % of what the baseline ends with, as none was stated)"
    note = (
        f"To {panel['target']:g} %{asked}, after whole epochs: mean and 95 % interval over seeds. Where a seed never "
        "reached it there is no mean, no comparison: it is at least so much, each such seed counted with the whole of "
        "its training. Seconds are of the machines of the runs, as loaded as they were, without the first steps of "
        "each start."
    )
    if before := not_counted(panel.get("trained_before", ())):
        note += f" {before}."
    key = f"analysis-curves-target-{number}"
    button = tag("div", save("table", key, "CSV", "Save the table of times"), class_="save")
    return paragraph(note, class_="note") + button + markup.table(columns, lines, f"To {panel['target']:g} %{on}", key)


def _crossings(panel: Answer, number: int, on: str, baseline: str | None) -> str:
    found = panel.get("crossings")
    if found is None or found["said"]:
        return "" if found is None else paragraph(f"Where curves cross{on}: {found['said']}.")
    title = {row["row"]: row["title"] for row in panel["rows"]}
    lines = [
        line(title[row["row"]], *(title.get(row["before"], NONE), last_crossing(row), title.get(row["after"], NONE)),
             data_of=row["row"])
        for row in found["rows"]
    ]  # fmt: skip
    note = (
        f"Where each row's mean curve crosses that of {baseline} for the last time, on {panel['split']}. In brackets, "
        "at 95 %: from the last epoch that tells the earlier lead from chance to the first that tells the later one; "
        "start or end: none does. It describes; verdicts are the table's."
    )
    key = f"analysis-curves-crossings-{number}"
    columns = ("row", "leads before", "until epoch", "leads after")
    button = tag("div", save("table", key, "CSV", "Save the table of crossings"), class_="save")
    untold = [paragraph(f"{said}.", class_="note") for said in untold_crossings(found["rows"])]
    table = markup.table(columns, lines, f"Last crossing with {baseline}{on}", key)
    return "".join((paragraph(note, class_="note"), button, table, *untold))


def _stops(panel: Answer, number: int, on: str, baseline: str | None) -> str:
    stops = panel["stops"]
    if stops["said"]:
        return paragraph(f"Had all runs stopped earlier{on}: {stops['said']}.")
    title = {row["row"]: row["title"] for row in panel["rows"]}
    shares: Sequence[Answer] = stops["stops"]
    columns = ("row", *(_share(stop) for stop in shares))
    lines = []
    for row in stops["rows"]:
        verdicts = [stop["rows"][row["row"]]["verdict"] for stop in shares]
        cells = [tag("th", text(title[row["row"]]), scope="row"), *(tag("td", chip(said, said)) for said in verdicts)]
        lines.append(tag("tr", cells, data_of=row["row"]))
    flipped = sum(bool(row["flipped"]) for row in stops["rows"])
    early = sum(bool(row["early"]) for row in stops["rows"])
    said = (
        f"Had all runs stopped earlier{on}: of {len(stops['rows'])} verdicts beside {baseline} {flipped} would have "
        f"been the opposite at some time, and {early} that end undecided would have been decided."
    )
    note = (
        f"Each stop as if it were the only look, on {panel['split']}, not on the test images of the table's verdicts "
        "(Welch's t, one Holm family a stop). A run that is planned shorter has a schedule of its own and ends better."
    )
    key = f"analysis-curves-stops-{number}"
    content = paragraph(note, class_="note") + markup.table(columns, lines, "Verdicts at earlier stops", key)
    return folded(said, content)


def _share(stop: Answer) -> str:
    return f"{stop['share']:.0f} %" if stop["epoch"] is None else f"epoch {stop['epoch']:g}"
