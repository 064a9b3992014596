"""Where the rows of a study look: Grad-CAM and attention rollout over test images, by the first seed of each row.

They describe what a network's answer rests on, and decide nothing: there is no verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from levelfield.analysis.predicted_panels import predictions_of_panel
from levelfield.analysis.result_cache import ResultCache, asked_of
from levelfield.analysis.studied_rows import FOLDER, Studied, StudiedRow, made_of, whose
from levelfield.analysis.where_it_looks.grad_cam import check_grad_cam
from levelfield.errors import UserError
from levelfield.tables.lists_in_words import by_reason, listed
from levelfield.tables.prediction_analysis import places_disagreed

USUAL: Final = 8
"""So many images are shown where none are chosen."""
MOST: Final = 24
"""So many may be chosen."""
DISAGREED: Final = "most disagreed"


def overlays(
    found: Studied, images: Sequence[int] | None = None, *, device: str = "auto", data_dir: str | None = None,
    see: Callable[[str], None] = lambda words: None,
) -> dict[str, Any]:  # fmt: skip
    """What overlays.json holds: `panels`, each with what the first run of every row makes of its images; `left_out`:
    rows that are not here, and why. `images`: test indices; None: those that the rows of a test set disagree on most.

    Raises UserError without pytorch-grad-cam, for an index that is no test image, and where nothing can be shown.
    """
    by = check_grad_cam()
    if images is not None and len(images) > MOST:
        raise UserError(f"{len(images)} images are more than a page can show\nchoose at most {MOST}")
    panels: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    for panel in found.panels:
        chosen = _chosen(found, panel, images)
        if isinstance(chosen, str):
            left_out |= {row.name: chosen for row in found.of(panel)}
            continue
        rows = []
        for row in found.of(panel):
            see(f"{row.name}, seed {row.runs[0].seed}")
            own = _of_row(found, row, chosen, by, device, data_dir)
            if "why" in own:
                left_out[row.name] = own["why"]
            else:
                rows.append({"row": row.name, "title": row.title, "seed": row.runs[0].seed, **own})
        if rows:
            panels.append({"panel": panel, "rows": rows})
    if not panels:
        why = "; ".join(f"{listed(names)}: {reason}" for names, reason in by_reason(left_out))
        raise UserError(f"no row in {found.folder} can be looked into: {why}")
    return {
        "baselines": dict(found.baselines),
        "chosen": DISAGREED if images is None else "by --images",
        "grad_cam": by,
        "left_out": left_out,
        "panels": panels,
        "runs": whose(found),
        "made_of": made_of(found),
    }


def _chosen(found: Studied, panel: str, images: Sequence[int] | None) -> list[int] | str:
    """The test indices to be shown of a panel, or why there are none."""
    read = predictions_of_panel(found, panel)
    if images is not None:
        if not isinstance(read, str) and (unknown := [one for one in images if one not in read.index]):
            low, high = int(read.index[0]), int(read.index[-1])
            raise UserError(f"no test image {unknown[0]} in {panel}\ntheir indices lie between {low} and {high}")
        return list(dict.fromkeys(images))
    if isinstance(read, str):
        return f"which images the rows disagree on is not known ({read}): choose some with --images"
    places = places_disagreed(np.stack([own.predicted[0] for own in read.rows]), USUAL)
    return [int(read.index[i]) for i in places] or "its rows disagree on no image: choose some with --images"


def _of_row(
    found: Studied, row: StudiedRow, chosen: list[int], by: str, device: str, data_dir: str | None
) -> dict[str, Any]:
    """What the first run of a row makes of the `chosen` images, or `why` nothing; kept by run and by `by`,
    pytorch-grad-cam's version."""
    folder = row.runs[0].folder
    if folder is None or not folder.weights.is_file():
        return {"why": "its weights are not here"}
    cache = ResultCache(found.folder / FOLDER, "overlays")
    asked = asked_of(row.runs[0], images=chosen, grad_cam=by)
    known = cache.get(folder.identity, asked)
    if known is None:
        from levelfield.analysis.where_it_looks.overlays_of_run import overlays_of_run

        try:
            known = overlays_of_run(folder.path, chosen, device, data_dir)
        except UserError as error:
            return {"why": str(error).splitlines()[0]}
        cache.put(folder.identity, asked, known)
    return {"identity": folder.identity, **known}
