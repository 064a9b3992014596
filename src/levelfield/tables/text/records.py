"""The rows as flat mappings, from which CSV and JSON are made."""

from __future__ import annotations

from typing import Any

from levelfield.statistics import verdict
from levelfield.tables.cost_columns import MEASURED
from levelfield.tables.table import StudyTable, TableRow
from levelfield.tables.verdicts_in_words import more_seeds


def records(table: StudyTable) -> list[dict[str, Any]]:
    """One flat mapping a row, for CSV and JSON; None where there is no number."""
    rule = {"margin": table.study.margin, "verdict_rule": table.study.verdict}
    return [_record(row) | rule for row in table.rows]


def _record(row: TableRow) -> dict[str, Any]:
    pair, published = row.to_baseline, row.published
    spec, printed = row.runs.spec, row.runs.row.published
    return {
        "row": row.name,
        "label": row.title,
        "also": [other.name for other in row.runs.row.also],
        "group": row.runs.row.group,
        "panel": row.panel,
        "model": spec.model.name if spec else None,
        "data": spec.data.name if spec else None,
        "status": row.state,
        "unfinished": "; ".join(row.runs.unfinished) or None,
        "seeds": row.n,
        "failed": row.failed,
        "top1": row.top1.value if row.top1 else None,
        "top1_sd": row.sd,
        "top1_low": row.top1.low if row.top1 else None,
        "top1_high": row.top1.high if row.top1 else None,
        "interval_method": row.top1.method if row.top1 else None,
        "sample_low": row.sample.low if row.sample else None,
        "sample_high": row.sample.high if row.sample else None,
        "baseline": row.is_baseline,
        "difference": pair.estimate if pair else None,
        "difference_low": pair.low if pair else None,
        "difference_high": pair.high if pair else None,
        "common_starts": pair.runs[0] if pair and pair.paired else None,
        "p_adjusted": pair.p_adjusted if pair else None,
        "verdict": verdict(pair) if pair else None,
        "more_seeds": more_seeds(pair) if pair else None,
        "other_images_low": pair.elsewhere.low if pair and pair.elsewhere else None,
        "other_images_high": pair.elsewhere.high if pair and pair.elsewhere else None,
        "other_images_different": pair.elsewhere.different if pair and pair.elsewhere else None,
        "sign_flip_p": pair.sign_flip_p if pair else None,
        "sign_flip_min": pair.sign_flip_min if pair else None,
        "beats_baseline": pair.beats if pair else None,
        "bca_low": pair.strict.low if pair and pair.strict else None,
        "bca_high": pair.strict.high if pair and pair.strict else None,
        "permutation_p": pair.strict.p if pair and pair.strict else None,
        "permutation_min": pair.strict.smallest if pair and pair.strict else None,
        "rank_best": row.rank.best if row.rank else None,
        "rank_worst": row.rank.worst if row.rank else None,
        **{key: row.means.get(key) for key in ("top3", "top5", "loss", "f1_macro", "f1_weighted", "ece", "brier")},
        **{key: row.means.get(key) for key in ("params", "macs", *MEASURED, "train_seconds")},
        "published_top1": printed.values.get("top1") if printed else None,
        "published_difference": published.difference if published else None,
        "published_inside": published.inside if published else None,
        "not_comparable": "; ".join(published.reasons) if published and published.reasons else None,
    }
