"""What a finished run is, its scores and what it took, as a notebook shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from levelfield import notebook
from levelfield.runs import RunFolder


def result_in_html(result: Mapping[str, Any], folder: RunFolder) -> str:
    """The facts of `result`, the content of result.json in `folder`."""
    scores = [(name, result.get(key)) for name, key in (("top-1 %", "top1"), ("top-5 %", "top5"))]
    return notebook.facts(
        [
            ("run", f"{result['model']} on {result['data']}, seed {result['seed']}"),
            *((name, None if score is None else f"{score:.2f}") for name, score in scores),
            ("loss", f"{result['loss']:.4f}"),
            ("parameters", f"{result['params']:,}"),
            ("MACs", f"{result['macs'] / 1e6:,.2f} M"),
            ("trained", f"{result['train_seconds'] + result['compile_seconds']:.0f} s"),
            ("folder", folder.path),
        ]
    )
