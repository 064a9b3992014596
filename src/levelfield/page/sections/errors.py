"""Where rows err: what `levelfield analyze errors` found, as a section of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from levelfield.page import markup
from levelfield.page.charts.chart import Chart, Spec
from levelfield.page.charts.heat_map import heat_map
from levelfield.page.figure import figures, save
from levelfield.page.listed_images import ImageOf, listed, listed_image, vote
from levelfield.page.markup import folded, line, paragraph, tag, text
from levelfield.page.section import Section
from levelfield.page.sections.measured_differences import left_out, lines_of_differences, of_other_runs
from levelfield.tables.number_format import estimate_with_interval, p_value
from levelfield.tables.table import StudyTable

Answer = Mapping[str, Any]
MOST: Final = 60
"""So many decided differences are shown; errors.json has all."""


def errors(table: StudyTable, answer: Answer, image_of: ImageOf | None) -> Section:
    """Classes that differ, charts of confusion and of churn a panel, the hardest images and the doubtful labels."""
    several = len(answer["panels"]) > 1
    charts: list[Chart] = []
    parts = [of_other_runs(table, answer, "errors"), _classes(table, answer)]
    for number, panel in enumerate(answer["panels"]):
        own = [chart for chart in (_confusion(panel, number), _churn_chart(panel, number)) if chart is not None]
        own = [chart.on(panel["panel"]) for chart in own] if several else own
        charts += own
        on = f" on {panel['panel']}" if several else ""
        parts += [
            figures(own), _groups(panel, on), _churn(panel, answer["baselines"].get(panel["panel"]), number, on),
            *_images(panel, on, None if number else image_of),
        ]  # fmt: skip
        parts.append(left_out(panel))
    return Section("analysis-errors", "Where it errs", "".join(parts), charts=tuple(charts))


def _classes(table: StudyTable, answer: Answer) -> str:
    """What was decided of the recall of single classes."""
    found: Sequence[Answer] = answer["differences"]
    decided = [one for one in found if one["verdict"] in ("better", "worse")]
    if not decided:
        return paragraph(answer["said"])
    note = "Each by its own runs (Welch's t). Intervals are at the level of the decision."
    note += f" The {MOST} surest; errors.json has all." if len(decided) > MOST else ""
    key = "analysis-errors-differences"
    shown = lines_of_differences(table, answer, decided[:MOST], ("class", "row"), "Decided differences of recall", key)
    button = tag("div", save("table", key, "CSV", "Save the table of classes"), class_="save")
    return paragraph(answer["said"]) + folded(
        f"Class by class: {len(decided):,} decided", paragraph(note, class_="note") + button + shown
    )


def _confusion(panel: Answer, number: int) -> Chart | None:
    """All confusions in the order of the tree of classes; the diagonal is left empty."""
    if panel["confusion"] is None:
        return None
    place = {name: i for i, name in enumerate(panel["classes"])}
    order: list[str] = panel["clusters"]["order"]
    values: list[Spec] = [
        {"name": true, "class": taken, "order": at, "value": panel["confusion"][place[true]][place[taken]]}
        for at, true in enumerate(order) for taken in order if true != taken
    ]  # fmt: skip
    most = max((value["value"] for value in values), default=0.0)
    numbers = most / 2 if len(order) <= 16 else None
    spec = heat_map(values, order, "% of the true class", numbers, axes=("taken for", "true class"))
    spec["usermeta"] = {"row_px": 22}
    note = "Mean over rows. Classes that are confused with one another stand together (average linkage)."
    alt = "Heat map of confusions, similar classes side by side."
    return Chart(f"confusion-tree-{number}", "What is taken for what", note, alt, spec, dense=True)


def _groups(panel: Answer, on: str) -> str:
    groups = panel["clusters"]["groups"]
    if not groups:
        return ""
    said = "; ".join(", ".join(group) for group in groups)
    return paragraph(f"Confused with one another{on}, three times as often as two classes on the average: {said}.")


def _churn_chart(panel: Answer, number: int) -> Chart | None:
    rows, between = panel["churn"]["rows"], panel["churn"]["between"]
    if len(rows) < 2:
        return None
    titles = [row["title"] for row in rows]
    values: list[Spec] = [
        {"row": row["row"], "name": row["title"], "class": title, "order": i, "value": between[i][j]}
        for i, row in enumerate(rows) for j, title in enumerate(titles) if between[i][j] is not None
    ]  # fmt: skip
    middle = (min(value["value"] for value in values) + max(value["value"] for value in values)) / 2
    spec = heat_map(values, titles, "% of images", middle if len(rows) <= 16 else None, label_px=110)
    note = (
        "Images that a network of one row and one of another take for different classes; diagonal: two seeds of a row."
    )
    alt = "Heat map of disagreement between rows, and between seeds on its diagonal."
    return Chart(f"churn-{number}", "Churn", note, alt, spec, dense=True)


def _churn(panel: Answer, baseline: str | None, number: int, on: str) -> str:
    lines = []
    for row in panel["churn"]["rows"]:
        beyond = row["beyond"] or {}
        cells = estimate_with_interval(row["seeds"]), estimate_with_interval(row["baseline"])
        more = estimate_with_interval(row["beyond"], True), p_value(beyond.get("p_adjusted")), beyond.get("verdict", "")
        lines.append(line(row["title"], row["runs"], *cells, *more, data_of=row["row"]))
    columns = ("row", "seeds", "between its seeds %", f"to {baseline} %", "beyond seeds", "p adjusted", "verdict")
    note = (
        "Beyond seeds: by how many points runs of the two rows disagree more often than two runs of one row do. One "
        "family of Holm's procedure; intervals over seeds (jackknife), those beyond seeds at the level of the "
        "decision, the others at 95 %."
    )
    key = f"analysis-errors-churn-{number}"
    button = tag("div", save("table", key, "CSV", "Save the table of churn"), class_="save")
    content = paragraph(note, class_="note") + button + markup.table(columns, lines, "Churn by row", key)
    decided = sum(bool(row["beyond"] and row["beyond"]["verdict"] == "differs") for row in panel["churn"]["rows"])
    others = sum(row["beyond"] is not None for row in panel["churn"]["rows"])
    return folded(f"Churn{on}: {decided} of {others} rows differ from {baseline} by more than their seeds", content)


def _images(panel: Answer, on: str, image_of: ImageOf | None) -> list[str]:
    hardest, doubted = panel["hardest"], panel["label_candidates"]
    said = (
        f"Of {panel['images']:,} test images{on} all {panel['networks']} networks have {hardest['all_right']:,} right "
        f"and {hardest['all_wrong']:,} wrong."
    )
    parts = [paragraph(said)]
    if hardest["images"]:
        parts.append(folded(f"The hardest images{on}", listed(_image(each, image_of) for each in hardest["images"])))
    if doubted["count"] is None:
        return [*parts, paragraph(f"Labels in doubt: {doubted['said']}.", class_="note")]
    note = f"By confident learning: {doubted['said']}. What weak networks have wrong is listed, too: look first."
    content = paragraph(note, class_="note") + listed(_image(each, image_of) for each in doubted["images"])
    return [*parts, folded(f"Labels in doubt{on}: {doubted['count']:,}", content)]


def _image(image: Answer, image_of: ImageOf | None) -> str:
    votes = (
        vote(name, image["label"], text(f"{count} of {image['networks']}"))
        for name, count in list(image["votes"].items())[:4]
    )
    return listed_image(image["index"], image["label"], votes, image_of)
