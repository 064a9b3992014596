"""The lower sections of the page as HTML: the statistics in words, all scores, configuration, environment, commands."""

from __future__ import annotations

from collections.abc import Mapping

from levelfield.page.markup import bullets, code, folded, paragraph, scrolled, section, tag, text
from levelfield.tables.differing_settings import differences, environments
from levelfield.tables.number_format import NONE, interval, percent, whole
from levelfield.tables.prediction_analysis import Predicted, mcnemar_of
from levelfield.tables.reproduce import setups
from levelfield.tables.table import StudyTable, TableRow
from levelfield.tables.text.footnotes import sweep_in_words
from levelfield.tables.verdicts_in_words import in_words, pair_in_words

SCORES = (
    "row", "top-1 %", "SD", "over test images", "top-3 %", "top-5 %", "loss", "F1 macro", "F1 weighted", "ECE %", "NLL",
    "Brier", "train s", "peak MiB", "ms/batch",
)  # fmt: skip

REPRODUCED = (
    "Data is looked for where --data-dir or LEVELFIELD_DATA says, and refused where its content is another. A run "
    "comes out with the same bytes on the same kind of processor, with the same versions (under Environment)."
)


def words(table: StudyTable, predicted: Mapping[str, Predicted]) -> str:
    """The statistics in plain words, and every comparison with the baseline."""
    parts = [paragraph(said) for said in in_words(table)] or [paragraph("Nothing was measured yet.")]
    lines = []
    for row in table.measured:
        baseline = table.panels[row.panel].baseline
        if row.to_baseline is None or baseline is None:
            continue
        both = row.name in predicted and baseline in predicted
        mcnemar = mcnemar_of(predicted[row.name], predicted[baseline]) if both else None
        said = tag("td", text(pair_in_words(row.to_baseline, mcnemar)), class_="words")
        lines.append(tag("tr", tag("th", text(row.title), scope="row") + said, data_of=row.name))
    if lines:
        content = scrolled(tag("table", tag("tbody", lines)), "Comparisons with the baseline")
        parts.append(folded("Every comparison with the baseline", content))
    return section("words", "In plain words", parts)


SWEPT = ("row", "setting of the sweep", "learning rate", "weight decay", "validation top-1 %", "")


def sweeps(table: StudyTable) -> str:
    """Every point of every sweep: how sensitive each row is to its learning rate and weight decay."""
    if not table.study.sweeps:
        return ""
    head = tag("thead", tag("tr", (tag("th", text(name), scope="col") for name in SWEPT)))
    lines = []
    for sweep in table.study.sweeps:
        for lr, decay, score in sweep.points:
            best = sweep.best is not None and (lr, decay) == sweep.best[:2]
            cells = [sweep.setting, f"{lr:g}", f"{decay:g}", percent(score), "best" if best else ""]
            name = tag("th", text(", ".join(sweep.rows)), scope="row")
            lines.append(tag("tr", [name, *(tag("td", text(cell)) for cell in cells)]))
    said = bullets(sweep_in_words(sweep) for sweep in table.study.sweeps)
    content = tag("table", head + tag("tbody", lines))
    note = "One seed a point, chosen on the validation slice at equal budgets; test was not looked at."
    return section("sweeps", "Sensitivity to the learning rate", [
        paragraph(note, class_="note"), said, folded("Every point", scrolled(content, "Points of the sweeps")),
    ])  # fmt: skip


def details(table: StudyTable, predicted: Mapping[str, Predicted]) -> str:
    """All scores of every measured row."""
    if not table.measured:
        return ""
    head = tag("thead", tag("tr", (tag("th", text(name), scope="col") for name in SCORES)))
    body = tag("tbody", (_scores(row, predicted.get(row.name)) for row in table.measured))
    note = (
        "Means over seeds; ms/batch: median and quartiles of the profile. Over test images: 95 % interval of that "
        "accuracy on other images of the same kind (Wilson). "
        "Calibration (ECE in 15 bins, negative log-likelihood, Brier score) over the predictions of all seeds."
    )
    return section(
        "details", "Details", paragraph(note, class_="note") + scrolled(tag("table", head + body), "All scores")
    )


def _scores(row: TableRow, found: Predicted | None) -> str:
    means = row.means
    calibration = found.scores.calibration if found else None
    weighted = found.scores.f1_weighted if found else means.get("f1_weighted")
    values = [
        percent(row.top1.value if row.top1 else None), percent(row.sd), interval(row.sample),
        percent(means.get("top3")), percent(means.get("top5")), percent(means.get("loss"), 3),
        percent(means.get("f1_macro"), 4), percent(weighted, 4),
        percent(calibration.ece if calibration else None), percent(calibration.nll if calibration else None, 3),
        percent(calibration.brier if calibration else None, 3), whole(means.get("train_seconds")),
        whole(means.get("mem_peak_mib")), _milliseconds(means),
    ]  # fmt: skip
    cells = [tag("th", text(row.title), scope="row"), *(tag("td", value) for value in values)]
    return tag("tr", cells, data_of=row.name)


def _milliseconds(means: Mapping[str, float]) -> str:
    """Of a batch: the median and the quartiles of its profile."""
    median = means.get("ms_per_batch")
    if median is None:
        return NONE
    return f"{median:.1f} [{means['ms_per_batch_q1']:.1f}, {means['ms_per_batch_q3']:.1f}]"


def configuration(table: StudyTable) -> str:
    """In what the rows' settings differ, and what they share."""
    different, shared = differences(table)
    rows = [row for row in table.rows if row.runs.spec is not None]
    if not rows:
        return ""
    if different:
        head = [tag("th", "setting", scope="col"), *(tag("th", text(row.title), scope="col") for row in rows)]
        lines = (
            tag("tr", [tag("th", tag("code", text(key)), scope="row"),
                       *(tag("td", text(values.get(row.name, NONE))) for row in rows)])
            for key, values in different.items()
        )  # fmt: skip
        content = tag("table", tag("thead", tag("tr", head)) + tag("tbody", lines))
        shown = scrolled(content, "Settings that differ")
    else:
        shown = paragraph("The rows differ in nothing but the model.")
    common = code("\n".join(f"{key}: {value}" for key, value in shared.items()))
    shown += folded(f"{len(shared)} settings that all rows share", common)
    return section("configuration", "In what the rows differ", shown)


def environment(table: StudyTable) -> str:
    """Machine and versions, each value that occurs."""
    found = environments(table)
    if not found:
        return ""
    lines = "\n".join(f"{key}: {' | '.join(values)}" for key, values in found.items())
    return section("environment", "Environment", folded("Machine and versions of the runs", code(lines)))


def reproduce(table: StudyTable) -> str:
    """The commands that make the table, or the runs of one row, again, with the files that they take."""
    parts = []
    if table.study.command:
        parts += [paragraph("The whole table:"), code(table.study.command)]
    found = setups(table)
    for row in table.rows:
        shown = []
        for setup in found.get(row.name, ()):
            shown += [code("\n".join(setup.commands))] if setup.commands else []
            shown += [paragraph(note, class_="note") for note in setup.notes]
            shown += [paragraph(f"{setup.file}:", class_="note"), code(setup.configuration)]
        if shown:
            parts.append(folded(row.title, "".join(shown), data_of=row.name))
    if found:
        parts.append(paragraph(REPRODUCED, class_="note"))
    return section("reproduce", "Reproduce", parts) if parts else ""
