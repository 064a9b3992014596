"""How far the attention of a study's rows looks, layer by layer and head by head, on test images; kept by run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from levelfield.analysis.result_cache import ResultCache, asked_of
from levelfield.analysis.studied_rows import FOLDER, Studied, identity_of, made_of, whose
from levelfield.errors import UserError
from levelfield.tables.runs_of_row import Measured


def attention(
    found: Studied, *, images: int = 64, seed: int = 0, device: str = "auto", data_dir: str | None = None,
    see: Callable[[str], None] = lambda words: None,
) -> dict[str, Any]:  # fmt: skip
    """What attention.json holds: `rows` with the layers of every run, on `images` test images drawn by `seed`;
    `left_out`: rows without attention or weights. It describes: neither far nor near is better, so there is no verdict.

    Raises UserError where no row has attention that can be read.
    """
    rows, left_out = [], {}
    for row in found.rows:
        runs = []
        gone = {}
        for run in row.runs:
            see(f"{row.name}, seed {run.seed}")
            layers = _layers(found, run, images, seed, device, data_dir)
            if isinstance(layers, str):
                gone[run.seed] = layers
            else:
                runs.append({"seed": run.seed, "identity": identity_of(run), **layers})
        if gone:
            said = [f"seed {seed}: {why}" for seed, why in gone.items()] if runs else dict.fromkeys(gone.values())
            left_out[row.name] = "; ".join(said)
        if runs:
            rows.append({"row": row.name, "title": row.title, "panel": row.panel, "runs": runs})
    if not rows:
        why = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
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


def _layers(
    found: Studied, run: Measured, images: int, seed: int, device: str, data_dir: str | None
) -> dict[str, Any] | str:
    """Of one run its `layers`, in the order in which they compute, and on how many `drawn` images; or why not."""
    if run.folder is None or not run.folder.weights.is_file():
        return "its weights are not here"
    cache, asked = ResultCache(found.folder / FOLDER, "attention"), asked_of(run, images=images, seed=seed)
    known = cache.get(run.folder.identity, asked)
    if known is None:
        from levelfield.analysis.attention_distance import distances_of
        from levelfield.analysis.network_of_run import NetworkOfRun, drawn

        try:
            network = NetworkOfRun(run.folder.path, device)
            test = network.own_data(data_dir).test
        except UserError as error:
            return str(error).splitlines()[0]
        positions = drawn(test, images, seed)
        with distances_of(network.network, network.side_px) as distances:
            network.logits_of(test, positions)
        known = {
            "drawn": len(positions),
            "layers": [
                {"name": layer.name, "kind": layer.kind, "side_px": network.side_px, "spacing_px": layer.spacing_px,
                 "uniform_px": layer.uniform_px, "heads_px": layer.heads_px}
                for layer in distances.layers.values()
            ],
        }  # fmt: skip
        cache.put(run.folder.identity, asked, known)
    return known if known["layers"] else "it has no attention that is read (OutGrid, ViT, DeiT, Swin, MaxViT)"
