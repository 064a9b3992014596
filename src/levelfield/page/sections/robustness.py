"""How rows bear corrupted images: what `levelfield analyze robustness` found, as a section of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from levelfield.page import markup
from levelfield.page.charts.chart import Chart, Spec, colour_scale, singled_out
from levelfield.page.charts.heat_map import heat_map
from levelfield.page.charts.lines_with_bands import lines_with_bands
from levelfield.page.figure import figures, save
from levelfield.page.markup import line, paragraph, tag
from levelfield.page.section import Section
from levelfield.page.sections.measured_differences import left_out, measured_differences, of_other_runs
from levelfield.tables.number_format import percent
from levelfield.tables.table import StudyTable
from levelfield.tables.text.robustness import corrupted_images, sizes_without_parameters, titles_with_size

Answer = Mapping[str, Any]
COLUMNS = (
    ("top1", "clean top-1 %"), ("corrupted", "corrupted top-1 %"), ("noise", "noise"), ("blur", "blur"),
    ("weather", "weather"), ("digital", "digital"), ("extra", "extra 4"), ("mce", "mCE %"),
    ("relative_mce", "relative mCE %"),
)  # fmt: skip


def robustness(table: StudyTable, answer: Answer) -> Section:
    """Charts of accuracy by severity and by corruption a panel, the means, and what was decided."""
    charts = []
    for number, panel in enumerate(answer["baselines"]):
        rows = [row for row in answer["rows"] if row["panel"] == panel and row["runs"]]
        if not rows:
            continue
        own = [
            _by_severity(table, rows, answer, f"severity-{number}"),
            _by_corruption(rows, answer, f"corruption-{number}"),
        ]
        charts += [chart.on(panel) for chart in own] if len(answer["baselines"]) > 1 else own
    key, title = "analysis-robustness-table", titles_with_size(answer)
    lines = [
        line(title[row["row"]], len(row["runs"]), *(percent(_mean(row["runs"], key)) for key, _ in COLUMNS),
             data_of=row["row"])
        for row in answer["rows"] if row["runs"]
    ]  # fmt: skip
    parts = [
        of_other_runs(table, answer, "robustness"),
        paragraph(_note(answer), class_="note"),
        figures(charts),
        tag("div", save("table", key, "CSV", "Save the table of robustness"), class_="save"),
        markup.table(("row", "seeds", *(title for _, title in COLUMNS)), lines, "Robustness by row", key),
        _sets(answer["rows"]),
        left_out(answer),
        measured_differences(table, answer, "analysis-robustness-differences"),
    ]
    return Section("analysis-robustness", "How well it bears corrupted images", "".join(parts), charts=tuple(charts))


def _note(answer: Answer) -> str:
    common = answer["corruptions"]["common"]
    frost = "" if "frost" in common else " (frost is left out: it needs photographs)"
    said = (
        f"Corruptions of Hendrycks and Dietterich at five severities, of {corrupted_images(answer)} test images (seed "
        f"{answer['seed']}). "
        f"Means and mCE (errors over the baseline's, which has 100) are over {len(common)}{frost}. Relative mCE is of "
        "what corruption adds to the clean errors: a row that errs much on clean images has little to lose. Of both "
        "less is better."
    )
    return f"{said} {sizes_without_parameters(answer)}".rstrip()


def _mean(runs: Sequence[Answer], key: str) -> float | None:
    known = [run[key] for run in runs if run.get(key) is not None]
    return fmean(known) if known else None


def _by_severity(table: StudyTable, rows: Sequence[Answer], answer: Answer, key: str) -> Chart:
    known = {row["row"] for row in rows}
    names, chosen = singled_out([row for row in table.measured if row.name in known])
    title = titles_with_size(answer)
    values: list[Spec] = []
    for row in rows:
        levels = [[run["top1"] for run in row["runs"]], *zip(*(run["by_severity"] for run in row["runs"]), strict=True)]
        for severity, scores in enumerate(levels):
            values.append({
                "row": row["row"], "name": title[row["row"]], "severity": severity, "mean": fmean(scores),
                "low": min(scores), "high": max(scores), "shown": row["row"] in names,
            })  # fmt: skip
    spec = lines_with_bands(colour_scale(table.rows), values, "severity", "severity (0: clean)", "top-1 (%)")
    count = len(answer["corruptions"]["common"])
    note = f"Mean over the {count} corruptions. Band: lowest to highest seed." + chosen
    return Chart(key, "By severity", note, "Top-1 by severity of corruption, by row.", spec)


def _by_corruption(rows: Sequence[Answer], answer: Answer, key: str) -> Chart:
    names = [*answer["corruptions"]["common"], *answer["corruptions"]["extra"]]
    words, title = {name: name.replace("_", " ") for name in names}, titles_with_size(answer)
    values: list[Spec] = [
        {"row": row["row"], "name": title[row["row"]], "order": place, "class": words[name],
         "value": fmean(fmean(run["scores"][name]) for run in row["runs"])}
        for place, row in enumerate(rows) for name in names
    ]  # fmt: skip
    most = max(float(value["value"]) for value in values)
    spec = heat_map(values, list(words.values()), "top-1 %", 0.65 * most)
    note = "Mean over severities and seeds; the last four are the extra ones."
    return Chart(key, "By corruption", note, "Heat map of top-1 by corruption and row.", spec, wide=True, dense=True)


def _sets(rows: Sequence[Answer]) -> str:
    """Sets read from folders: top-1 by row, the mean over levels."""
    names = list(dict.fromkeys(name for row in rows for run in row["runs"] for name in run["sets"]))
    if not names:
        return ""
    lines = [
        line(row["title"], *(
            percent(_mean([{"x": fmean(run["sets"][name])} for run in row["runs"] if name in run["sets"]], "x"))
            for name in names
        ), data_of=row["row"])
        for row in rows
    ]  # fmt: skip
    return markup.table(("row", *names), lines, "Sets read from folders, top-1 %", "analysis-robustness-sets")
