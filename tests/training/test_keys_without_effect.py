"""What an identity leaves out because it has no effect: each pair is trained, and the weights are equal to the bit."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_run import run_spec

from levelfield.training import prepare, train_prepared

UNUSED: dict[str, tuple[list[str], list[str]]] = {
    "validation of the recipe beside the data's own": (
        ["data.validation=0.1", "recipe.validation=0.2"], ["data.validation=0.1"]
    ),
    "seed of a split that is not cut": (
        ["data.train_limit=null", "data.test_limit=null", "data.split_seed=3", "budget={steps: 4}"],
        ["data.train_limit=null", "data.test_limit=null", "budget={steps: 4}"],
    ),
    "side to resize to that is the network's": (["data.resize_px=16"], []),
    "what to do with damaged images where there are none": (["data.on_bad_image=skip"], []),
    "details of an average that is not kept": (
        ["recipe.averaging={decay: 0.5, every_steps: 3, evaluate: raw}"], []
    ),
    "details of mixing with alphas of zero": (
        ["recipe.mix={probability: 0.3, switch_probability: 0.1, mode: element}"], []
    ),
    "alphas of mixing that never happens": (["recipe.mix={mixup_alpha: 0.8, probability: 0}"], []),
    "choice between mixup and nothing": (
        ["recipe.mix={mixup_alpha: 0.8, switch_probability: 0.1}"], ["recipe.mix={mixup_alpha: 0.8}"]
    ),
    "choice between CutMix and nothing": (
        ["recipe.mix={cutmix_alpha: 1, switch_probability: 0.1}"], ["recipe.mix={cutmix_alpha: 1}"]
    ),
    "smoothing of mixed batches where none are mixed": (
        ["recipe.regularisation={label_smoothing: 0.1, smoothing_with_mix: false}"],
        ["recipe.regularisation={label_smoothing: 0.1}"],
    ),
    "smoothing of mixed batches where nothing is smoothed": (
        ["recipe.mix={mixup_alpha: 0.8}", "recipe.regularisation={smoothing_with_mix: false}"],
        ["recipe.mix={mixup_alpha: 0.8}"],
    ),
    "form of a drop path of zero": (
        ["recipe.regularisation={drop_path: 0, drop_path_mode: batch}"], ["recipe.regularisation={drop_path: 0}"]
    ),
    "length of a freeze of nothing": (["recipe.freeze={epochs: 1}"], []),
    "details of a warm-up without a length": (
        ["recipe.schedule={name: cosine, warmup: {start_factor: 0.5, on_top: true}}"], []
    ),
    "a warm-up of no steps": (["recipe.schedule={name: cosine, warmup: {steps: 0, start_factor: 0.5}}"], []),
    "a warm-up of no epochs": (["recipe.schedule={name: cosine, warmup: {epochs: 0}}"], []),
    "a warm-up of no share": (["recipe.schedule={name: cosine, warmup: {ratio: 0, on_top: true}}"], []),
    "a warm-up of no steps in a later phase": (
        ["recipe.phases=[{at_epoch: 1, optimizer: {}, schedule: {name: linear, warmup: {steps: 0, start_factor: 1}}}]"],
        ["recipe.phases=[{at_epoch: 1, optimizer: {}, schedule: {name: linear}}]"],
    ),
    "erasing that never happens": (["recipe.augment.erasing={probability: 0}"], []),
    "jitter by nothing": (["recipe.augment.color_jitter={}"], []),
    "parts as large as the batch": (["execution.micro_batch=32"], []),
}  # fmt: skip


@pytest.mark.parametrize("what", UNUSED)
def test_what_has_no_effect_is_not_in_the_identity(what: str, tmp_path: Path) -> None:
    runs = [prepare(run_spec(*changes)) for changes in UNUSED[what]]
    assert runs[0].spec != runs[1].spec
    assert runs[0].identity == runs[1].identity
    weights = []
    for number, run in enumerate(runs):
        train_prepared(run, tmp_path / str(number))
        weights.append((tmp_path / str(number) / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_the_place_of_ones_own_data_is_not_in_the_identity(tmp_path: Path) -> None:
    """The same images below two folders, and under two names, are one run; a changed image is another."""
    import shutil

    from PIL import Image

    for split, count in (("train", 12), ("test", 4)):
        for label in ("a", "b"):
            folder = tmp_path / "one" / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                shade = 8 * number + 100 * (label == "a") + 3 * (split == "test")
                Image.new("RGB", (16, 16), (shade, 40 + number, 2 * number)).save(folder / f"{number}.png")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    small = ["data.train_limit=null", "data.test_limit=null", "recipe.batch_size=8"]
    one, two = (prepare(run_spec(*small, f"data.name='folder:{tmp_path / name}'")) for name in ("one", "two"))
    assert one.spec.data.name != two.spec.data.name
    assert one.identity == two.identity
    weights = []
    for name, run in (("one", one), ("two", two)):
        train_prepared(run, tmp_path / "runs" / name)
        weights.append((tmp_path / "runs" / name / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]
    Image.new("RGB", (16, 16), (1, 2, 3)).save(tmp_path / "two" / "train" / "a" / "more.png")
    assert prepare(run_spec(*small, f"data.name='folder:{tmp_path / 'two'}'")).identity != one.identity
