"""How far the attention of a study's rows looks, layer by layer and head by head, on test images; kept by run."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from levelfield.analysis.result_cache import ResultCache, asked_of
from levelfield.analysis.studied_rows import FOLDER, Studied, identity_of, made_of, whose
from levelfield.errors import UserError
from levelfield.runs import RunFolder
from levelfield.tables.lists_in_words import by_reason, listed
from levelfield.tables.runs_of_row import Measured

if TYPE_CHECKING:
    from levelfield.analysis.where_it_looks.attention_of_run import AttentionOfRun

SEVERAL: Final = 3
"""So many checkpoints are a course of training; fewer are what a run keeps to go on from."""


def attention(
    found: Studied, *, images: int = 64, seed: int = 0, device: str = "auto", data_dir: str | None = None,
    see: Callable[[str], None] = lambda words: None,
) -> dict[str, Any]:  # fmt: skip
    """What attention.json holds: `rows` with the layers of every run, on `images` test images drawn by `seed`, and over
    training of runs that kept SEVERAL checkpoints; `left_out`: rows without attention or weights. It describes: neither
    far nor near is better, so there is no verdict.

    Raises UserError where no row has attention that can be read, and for a damaged checkpoint.
    """
    rows, left_out = [], {}
    for row in found.rows:
        runs = []
        gone = {}
        for run in row.runs:
            see(f"{row.name}, seed {run.seed}")
            own = _of_run(found, run, {"images": images, "seed": seed}, device, data_dir, see)
            if isinstance(own, str):
                gone[run.seed] = own
            else:
                runs.append({"seed": run.seed, "identity": identity_of(run), **own})
        if gone:
            said = [f"seed {seed}: {why}" for seed, why in gone.items()] if runs else dict.fromkeys(gone.values())
            left_out[row.name] = "; ".join(said)
        if runs:
            rows.append({"row": row.name, "title": row.title, "panel": row.panel, "runs": runs})
    if not rows:
        why = "; ".join(f"{listed(names)}: {reason}" for names, reason in by_reason(left_out))
        raise UserError(f"no row in {found.folder} has attention that can be read: {why}")
    return {
        "baselines": dict(found.baselines),
        "images": images,
        "seed": seed,
        "left_out": left_out,
        "rows": rows,
        "runs": whose(found),
        "made_of": made_of(found),
    }


def _of_run(
    found: Studied, run: Measured, asked: dict[str, int], device: str, data_dir: str | None, see: Callable[[str], None]
) -> dict[str, Any] | str:
    """Of one run its `layers`, in the order in which they compute, on how many `drawn` images, and `training`: the same
    at each checkpoint, if it kept SEVERAL; or why there are none. `asked`: `images` and `seed`."""
    folder = run.folder
    if folder is None or not folder.weights.is_file():
        return "its weights are not here"
    path, cache, key = folder.path, ResultCache(found.folder / FOLDER, "attention"), asked_of(run, **asked)

    @functools.cache
    def opened() -> AttentionOfRun:
        from levelfield.analysis.where_it_looks.attention_of_run import AttentionOfRun

        return AttentionOfRun(path, device=device, data_dir=data_dir, **asked)

    known = cache.get(folder.identity, key)
    if known is None:
        try:
            read = opened()
        except UserError as error:
            return str(error).splitlines()[0]
        known = {"drawn": len(read.positions), "layers": read.layers()}
        cache.put(folder.identity, key, known)
    if not known["layers"]:
        return "no attention that is read (OutGrid, ViT, DeiT, Swin, MaxViT)"
    training = []
    for step, checkpoint in _checkpoints(folder):
        see(f"{run.result['model']} at step {step}")
        there = cache.get(folder.identity, key | {"step": step})
        if there is None:
            there = opened().at(checkpoint)
            cache.put(folder.identity, key | {"step": step}, there)
        training.append(there)
    return {**known, "training": training}


def _checkpoints(folder: RunFolder) -> list[tuple[int, Path]]:
    """(step, checkpoint) of a run that kept SEVERAL, first to last."""
    if not folder.checkpoints.is_dir():
        return []
    from levelfield.training.checkpoint_file import by_number

    found = by_number(folder.checkpoints)[::-1]
    return found if len(found) >= SEVERAL else []
