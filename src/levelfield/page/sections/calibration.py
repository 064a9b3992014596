"""Whether confidence is to be believed: what `levelfield analyze calibration` found, as a section of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Final

from levelfield.page import markup
from levelfield.page.charts.chart import Chart, Spec, colour_scale, singled_out
from levelfield.page.charts.lines_with_bands import lines_with_bands
from levelfield.page.figure import figures, save
from levelfield.page.markup import bullets, line, tag
from levelfield.page.section import Section
from levelfield.page.sections.measured_differences import left_out, measured_differences, of_other_runs
from levelfield.tables.number_format import percent
from levelfield.tables.table import StudyTable

Answer = Mapping[str, Any]
HOW: Final = (
    "A row that is 80 % sure should be right in 80 of 100 such images. NLL and Brier weigh the whole answer, the "
    "probability of the right class and of all others; ECE and the RMS error how far confidence lies from the share "
    "right; AURC the share wrong among the images that a row is surest of. Of all of these less is better."
)
HOW_FITTED: Final = (
    "Temperature and conformal sets: fitted on validation images, measured on test images. Logits are divided by the "
    "temperature: below 1 the row was too modest, above 1 too sure. Sets of classes are to hold the right one in 90 or "
    "95 of 100 images; of rows whose sets do, the one with fewer classes a set says more."
)


def calibration(table: StudyTable, answer: Answer) -> Section:
    """Charts of reliability and of risk against coverage a panel, the measures, and what was decided."""
    charts = []
    for number, panel in enumerate(answer["baselines"]):
        rows = [row for row in answer["rows"] if row["panel"] == panel and row["runs"]]
        own = [_reliability(table, rows, f"calibration-{number}"), _risk(table, rows, f"risk-{number}")]
        charts += [chart.on(panel) for chart in own] if len(answer["baselines"]) > 1 else own
    parts = [
        of_other_runs(table, answer, "calibration"),
        markup.paragraph(HOW, class_="note"),
        figures(charts),
        tag("div", save("table", "analysis-calibration-table", "CSV", "Save the table of calibration"), class_="save"),
        markup.table(_columns(answer), map(_line, answer["rows"]), "Calibration by row", "analysis-calibration-table"),
        _fitted(answer["rows"]),
        _detection(answer),
        left_out(answer),
        measured_differences(table, answer, "analysis-calibration-differences"),
    ]
    return Section("analysis-calibration", "Is its confidence to be believed?", "".join(parts), charts=tuple(charts))


def _columns(answer: Answer) -> list[str]:
    return [
        "row", "seeds", *(measure["title"] for measure in answer["measures"]), "miscalibration", "discrimination",
        "uncertainty", "top-1 % of the surest 80 %",
    ]  # fmt: skip


def _line(row: Answer) -> str:
    runs = row["runs"]
    keys = (("nll", 4), ("brier", 4), ("ece", 2), ("ece_equal_mass", 2), ("rms_debiased", 2), ("aurc", 2),
            ("miscalibration", 4), ("discrimination", 4), ("uncertainty", 4), ("top1_of_surest_80", 2))  # fmt: skip
    return line(row["title"], len(runs), *(percent(_mean(runs, key), digits) for key, digits in keys),
                data_of=row["row"])  # fmt: skip


def _mean(runs: Sequence[Answer], key: str) -> float | None:
    known = [run[key] for run in runs if run.get(key) is not None]
    return fmean(known) if known else None


def _fitted(rows: Sequence[Answer]) -> str:
    """What was fitted on validation images, and of which rows nothing could be."""
    fitted = [row for row in rows if any(run["temperature"] is not None for run in row["runs"])]
    why: dict[str, list[str]] = {}
    for row in rows:
        for run in row["runs"]:
            if run["temperature"] is None and row["title"] not in why.setdefault(run["validation"], []):
                why[run["validation"]].append(row["title"])
    said = bullets(
        f"No temperature, no conformal sets of {', '.join(names) if len(names) < len(rows) else 'any row'}: {reason}."
        for reason, names in why.items()
    )
    if not fitted:
        return said
    lines = []
    for row in fitted:
        cells = [percent(_mean(row["runs"], "temperature"), 3), percent(_mean(row["runs"], "nll_scaled"), 4)]
        cells.append(percent(_mean(row["runs"], "ece_scaled")))
        for place in range(2):
            sets = [run["conformal"][place] for run in row["runs"] if run["conformal"]]
            cells += [percent(_mean(sets, "coverage")), percent(_mean(sets, "size"))]
        lines.append(line(row["title"], *cells, data_of=row["row"]))
    columns = (
        "row", "temperature", "NLL scaled", "ECE % scaled (equal mass)", "90 % sets: coverage %", "classes a set",
        "95 % sets: coverage %", "classes a set",
    )  # fmt: skip
    table = markup.table(columns, lines, "Fitted on validation images", "analysis-calibration-fitted")
    return markup.paragraph(HOW_FITTED, class_="note") + table + (said if why else "")


def _detection(answer: Answer) -> str:
    if answer["other"] is None:
        return ""
    lines = []
    for row in answer["rows"]:
        known = [run["ood"] for run in row["runs"] if isinstance(run["ood"], dict)]
        cells = [
            percent(_mean([one[name] for one in known], key))
            for name in ("msp", "energy")
            for key in ("auroc", "fpr95")
        ]
        lines.append(line(row["title"], *cells, data_of=row["row"]))
    columns = ("row", "MSP: AUROC %", "FPR95 %", "energy: AUROC %", "FPR95 %")
    note = f"Test images told from those of {answer['other']}, by the highest probability and by the energy."
    table = markup.table(columns, lines, f"Test images against {answer['other']}", "analysis-calibration-ood")
    return markup.paragraph(note, class_="note") + table


def _reliability(table: StudyTable, rows: Sequence[Answer], key: str) -> Chart:
    """Share right less confidence against confidence, in bins of equal mass, over seeds."""
    names, chosen = _shown(table, rows)
    values: list[Spec] = []
    for row in rows:
        for bins in zip(*(run["bins"] for run in row["runs"]), strict=False):
            gaps = [one["right"] - one["confidence"] for one in bins]
            values.append({
                "row": row["row"], "name": row["title"], "confidence": fmean(one["confidence"] for one in bins),
                "mean": fmean(gaps), "low": min(gaps), "high": max(gaps), "shown": row["row"] in names,
            })  # fmt: skip
    spec = lines_with_bands(
        colour_scale(table.rows), values, "confidence", "confidence (%)", "right − confidence (points)"
    )
    note = "Zero: as right as it says. Below it over-confident, above it under-confident. Bins of equally many images."
    alt = "Reliability: share right less confidence, against confidence, by row."
    return Chart(key, "Reliability", note + chosen, alt, spec)


def _risk(table: StudyTable, rows: Sequence[Answer], key: str) -> Chart:
    """The share wrong among the surest images against their share."""
    names, chosen = _shown(table, rows)
    values: list[Spec] = []
    for row in rows:
        for place, risks in enumerate(zip(*(run["risk"] for run in row["runs"]), strict=True)):
            values.append({
                "row": row["row"], "name": row["title"], "coverage": 5 * (place + 1), "mean": fmean(risks),
                "low": min(risks), "high": max(risks), "shown": row["row"] in names,
            })  # fmt: skip
    spec = lines_with_bands(colour_scale(table.rows), values, "coverage", "surest images (%)", "wrong (%)")
    note = (
        "Errors among the images that a row is surest of, if it may abstain from the others. Band: lowest to highest "
    )
    alt = "Risk against coverage by row."
    return Chart(key, "Risk against coverage", note + "seed." + chosen, alt, spec)


def _shown(table: StudyTable, rows: Sequence[Answer]) -> tuple[frozenset[str], str]:
    known = {row["row"] for row in rows}
    return singled_out([row for row in table.measured if row.name in known])
