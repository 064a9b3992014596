"""The networks of a study are profiled as its rows train them, also on data that the catalogue does not know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.runs import find_runs
from levelfield.studies.running.profile_networks import study_subjects
from levelfield.study import Study
from levelfield.tables.cost_columns import profile_of, read_costs


def birds(root: Path) -> Path:
    """Three classes of noise at 20 px, which is no size and no number of classes of a network's own."""
    pixels = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 2)):
        for name in "abc":
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                image = pixels.integers(0, 256, (20, 20, 3), dtype=np.uint8)
                Image.fromarray(image).save(folder / f"{number}.png")
    return root


def test_ones_own_data(study_file: Callable[..., Path], tmp_path: Path) -> None:
    data = {"name": f"folder:{birds(tmp_path / 'birds')}", "image_size": 20}
    path = study_file(data=data, models=["resnet_nano"], seeds=1)
    ((before,), _) = study_subjects(str(path))
    assert (before.classes, before.image_size) == (None, 20)
    said = CliRunner().invoke(app, ["profile", "--study", str(path)])
    assert "20 px, 10 classes (classes of the network's own)" in " ".join(said.stderr.split()), said.output
    out = tmp_path / "out"
    Study.load(path).run(out, page=False)
    ((after,), _) = study_subjects(str(path), into=out)
    assert (after.classes, after.image_size) == (3, 20)
    said = CliRunner().invoke(app, ["profile", "--study", str(path), "--into", str(out)], catch_exceptions=False)
    assert "20 px, 3 classes" in said.stderr and "network's own" not in said.stderr
    assert profile_of(read_costs(out), find_runs(out)[0].spec()) is not None  # the row finds its costs
