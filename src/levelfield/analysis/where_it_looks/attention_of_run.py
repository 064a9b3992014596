"""How far the attention of one run looks: at its end, and at each checkpoint that it kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from levelfield.analysis.network_of_run import NetworkOfRun, drawn
from levelfield.analysis.where_it_looks.attention_distance import distances_of
from levelfield.errors import UserError
from levelfield.training.checkpoint_file import read_checkpoint
from levelfield.training.steps_and_phases import make_plan


class AttentionOfRun:
    """The network of the finished run in `path`, on `images` of its test images drawn by `seed`."""

    def __init__(self, path: Path, images: int, seed: int, device: str, data_dir: str | None) -> None:
        self.network = NetworkOfRun(path, device)
        self.data = self.network.own_data(data_dir)
        self.positions = drawn(self.data.test, images, seed)

    def layers(self) -> list[dict[str, Any]]:
        """Each layer of attention as JSON, in the order in which they compute; none where none is read."""
        side = self.network.side_px
        with distances_of(self.network.network, side) as distances:
            self.network.logits_of(self.data.test, self.positions)
        return [
            {"name": layer.name, "kind": layer.kind, "side_px": side, "spacing_px": layer.spacing_px,
             "uniform_px": layer.uniform_px, "heads_px": layer.heads_px}
            for layer in distances.layers.values()
        ]  # fmt: skip

    def at(self, checkpoint: Path) -> dict[str, Any]:
        """`step` and `epoch` of a checkpoint, and `heads_px` of each layer: with the weights that would have counted,
        had the run ended there (the average, where the recipe evaluates it). They stay in the network.

        Raises UserError for a checkpoint that is damaged or of another run.
        """
        run = self.network.run
        content = read_checkpoint(checkpoint)
        if content["identity"] != run.folder.identity:
            raise UserError(f"{checkpoint} belongs to another run\nremove it")
        averaged = content["average"] is not None and run.spec.recipe.averaging.evaluate == "averaged"
        self.network.network.load_state_dict(content["average"]["module"] if averaged else content["model"])
        plan = make_plan(run.spec.recipe, run.spec.budget, len(self.data.train))
        step = int(content["step"])
        heads = [layer["heads_px"] for layer in self.layers()]
        return {"step": step, "epoch": step / plan.steps_per_epoch, "heads_px": heads}
