"""All scores of every measured row."""

from __future__ import annotations

from collections.abc import Mapping

from levelfield.page import markup
from levelfield.page.markup import line, paragraph
from levelfield.page.section import Section
from levelfield.tables.number_format import NONE, interval, percent, whole
from levelfield.tables.prediction_analysis import Predicted
from levelfield.tables.table import StudyTable, TableRow

SCORES = (
    "row", "top-1 %", "SD", "over test images", "top-3 %", "top-5 %", "loss", "F1 macro", "F1 weighted", "ECE %", "NLL",
    "Brier", "train s", "peak MiB", "ms/batch",
)  # fmt: skip


def all_scores(table: StudyTable, predicted: Mapping[str, Predicted]) -> Section | None:
    if not table.measured:
        return None
    scores = [_scores(row, predicted.get(row.name)) for row in table.measured]
    known = [i for i, column in enumerate(zip(*scores, strict=True)) if set(column) != {NONE}]
    lines = (
        line(row.title, *(values[i] for i in known), data_of=row.name)
        for row, values in zip(table.measured, scores, strict=True)
    )
    columns = [SCORES[0], *(SCORES[1 + i] for i in known)]
    note = (
        "Means over seeds; ms/batch: median and quartiles of the profile. Over test images: 95 % interval of that "
        "accuracy on other images of the same kind (Wilson). "
        "Calibration (ECE in 15 bins, negative log-likelihood, Brier score) over the predictions of all seeds."
    )
    return Section("details", "Details", paragraph(note, class_="note") + markup.table(columns, lines, "All scores"))


def _scores(row: TableRow, found: Predicted | None) -> list[str]:
    means = row.means
    calibration = found.scores.calibration if found else None
    weighted = found.scores.f1_weighted if found else means.get("f1_weighted")
    return [
        percent(row.top1.value if row.top1 else None), percent(row.sd), interval(row.sample),
        percent(means.get("top3")), percent(means.get("top5")), percent(means.get("loss"), 3),
        percent(means.get("f1_macro"), 4), percent(weighted, 4),
        percent(calibration.ece if calibration else None), percent(calibration.nll if calibration else None, 3),
        percent(calibration.brier if calibration else None, 3), whole(means.get("train_seconds")),
        whole(means.get("mem_peak_mib")), _milliseconds(means),
    ]  # fmt: skip


def _milliseconds(means: Mapping[str, float]) -> str:
    """Of a batch: the median and the quartiles of its profile."""
    median = means.get("ms_per_batch")
    if median is None:
        return NONE
    return f"{median:.1f} [{means['ms_per_batch_q1']:.1f}, {means['ms_per_batch_q3']:.1f}]"
