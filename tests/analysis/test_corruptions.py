"""Corruptions against what the reference made of one picture, against the standard library, and against themselves."""

from __future__ import annotations

import colorsys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import zoom
from torch import Tensor
from typer.testing import CliRunner

from levelfield.analysis.corrupted_folders import folders_for, read_sets
from levelfield.analysis.corruptions.corrupt import CORRUPTIONS, SEVERITIES, applied, corrupt
from levelfield.analysis.corruptions.draws import Draws, draws_of
from levelfield.analysis.corruptions.frost import FILES, Photographs, read_photographs
from levelfield.analysis.corruptions.resample import zoomed
from levelfield.analysis.corruptions.severities import COMMON, EXTRA, FROST
from levelfield.analysis.corruptions.weather import plasma
from levelfield.analysis.network_of_run import NetworkOfRun
from levelfield.analysis.robustness import robustness, summary
from levelfield.analysis.scores_under_corruption import ahead, right_of, sets_of
from levelfield.analysis.studied_rows import studied
from levelfield.cli.app import app
from levelfield.data.sources.catalog import entry
from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.spec import Budget, DataSpec, Execution, ModelSpec, RunSpec
from levelfield.system.machine import usable_cores
from levelfield.training import load_run, train
from levelfield.training.load_finished_run import LoadedRun

REFERENCE = np.load(Path(__file__).parent / "corrupted_by_reference.npz")
"""By benchmarks/corruption_equality.py --write: imagecorruptions 1.1.2 with the parameters of CIFAR-10-C, seed 20."""
SPATTER = ("spatter_1", "spatter_2", "spatter_3")
"""Drops whose edges OpenCV finds: a few pixels differ by more than rounding."""


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Photographs:
    """Those of benchmarks/corruption_equality.py: five smooth pictures in the place of frost's photographs."""
    folder = tmp_path_factory.mktemp("frost")
    for number, name in enumerate(FILES):
        y, x = np.meshgrid(np.arange(171 + 10 * number), np.arange(260 - 20 * number), indexing="ij")
        layers = [127 + 127 * np.sin(x / (7 + k) + y / (5 + number + k)) for k in range(3)]
        Image.fromarray(np.stack(layers, -1).astype(np.uint8)).save(folder / name, format="PNG")
    return read_photographs(folder)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", [*COMMON, *EXTRA])
def test_images_are_those_of_the_reference_but_for_one_255th(
    name: str, severity: int, photographs: Photographs
) -> None:
    source = np.random.default_rng(20) if name == "impulse_noise" else np.random.RandomState(20)
    ours = applied(REFERENCE["clean"][None], name, severity, Draws([source]), photographs)[0]
    apart = np.abs(ours.astype(int) - REFERENCE[f"{name}_{severity}"])
    if f"{name}_{severity}" in SPATTER:
        assert (apart > 1).mean() < 0.03 and apart.mean() < 0.3
    else:
        assert apart.max() <= 1


def test_fifteen_and_four() -> None:
    assert len(COMMON) == 15 and len(EXTRA) == 4 and {*COMMON, *EXTRA} == {*CORRUPTIONS, FROST}


@pytest.mark.parametrize("name", [*COMMON, *EXTRA])
def test_an_image_is_corrupted_alike_in_any_batch_and_otherwise_by_another_seed(
    name: str, photographs: Photographs
) -> None:
    images = np.random.default_rng(1).integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)
    index = np.array([7, 3, 900, 12, 5, 4])
    whole = corrupt(images, name, 3, index, photographs=photographs)
    assert whole.shape == images.shape and whole.dtype == np.uint8
    assert np.array_equal(whole[[4, 1]], corrupt(images[[4, 1]], name, 3, index[[4, 1]], 0, photographs))
    random = name not in ("defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression",
                          "gaussian_blur", "saturate")  # fmt: skip
    assert np.array_equal(whole, corrupt(images, name, 3, index, 1, photographs)) != random


@pytest.mark.parametrize("change", ["brightness", "saturate"])
def test_colours_change_as_hsv_says(change: str) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
    pixels[0, 0, :3] = [[0, 0, 0], [90, 90, 90], [255, 255, 255]]
    found = applied(pixels, change, 4, draws_of(0, "", np.array([0])))[0]
    for place in np.ndindex(8, 8):
        h, s, v = colorsys.rgb_to_hsv(*(pixels[0][place] / 255))
        s, v = (s, min(1, v + 0.2)) if change == "brightness" else (min(1, s * 2 + 0.1), v)
        assert np.abs(found[place] - 255 * np.array(colorsys.hsv_to_rgb(h, s, v))).max() < 1.001


def test_zoom_is_scipys_and_fog_is_between_nought_and_one() -> None:
    image = np.random.default_rng(3).random((1, 32, 32, 3))
    large = zoom(image[0, 5:27, 5:27], (1.5, 1.5, 1), order=1)  # ceil(32 / 1.5) = 22 from (32 - 22) // 2 = 5 on
    assert zoomed(image, 1.5)[0] == pytest.approx(large[:32, :32])
    heights = plasma(32, 2.0, draws_of(0, "fog", np.arange(3)))
    assert heights.min() == 0 and heights.max() == 1 and heights.shape == (3, 32, 32)


def test_the_baselines_mean_corruption_error_is_100_and_of_half_its_errors_50() -> None:
    own = {name: [80.0, 70.0, 60.0, 50.0, 40.0] for name in CORRUPTIONS} | {"clean": [90.0]}
    half = {name: [90.0, 85.0, 80.0, 75.0, 70.0] for name in CORRUPTIONS} | {"clean": [95.0]}
    found = summary(own, [own])
    assert found["mce"] == pytest.approx(100) and found["relative_mce"] == pytest.approx(100)
    assert found["corrupted"] == 60 and found["by_severity"] == [80, 70, 60, 50, 40]
    assert summary(half, [own])["mce"] == pytest.approx(50)
    assert summary(half, [own])["relative_mce"] == pytest.approx(50)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("robust")
    for model in ("resnet_nano", "vit_mini"):
        spec = RunSpec(
            model=ModelSpec(name=model), budget=Budget(steps=2), execution=Execution(device="cpu", workers=0),
            data=DataSpec(name="digits", image_size=16, train_limit=200, test_limit=60),
        )  # fmt: skip
        train(spec, root / model, progress=Progress(shown=False))
    return root


def test_a_study_is_analysed_kept_and_printed(study: Path) -> None:
    found = studied(study)
    answer = robustness(found, images=20, device="cpu")
    one = answer["rows"][0]["runs"][0]
    assert set(one["scores"]) == set(CORRUPTIONS) and all(len(scores) == 5 for scores in one["scores"].values())
    assert {d["measure"] for d in answer["differences"]} == {"corrupted", "noise", "blur", "weather", "digital"}
    for weights in study.rglob("*.json"):
        if "robustness" in weights.parts:
            weights.touch()
    kept = sorted(path.stat().st_mtime_ns for path in (study / "analysis").rglob("*.json"))
    assert robustness(found, images=20, device="cpu") == answer
    assert sorted(path.stat().st_mtime_ns for path in (study / "analysis").rglob("*.json")) == kept
    done = CliRunner().invoke(app, ["analyze", "robustness", str(study), "--images", "20", "--device", "cpu"])
    assert done.exit_code == 0 and "frost is left out" in done.output and "over 14 corruptions" in done.output
    done = CliRunner().invoke(app, ["report", str(study), "--no-images"])
    assert done.exit_code == 0 and 'id="analysis-robustness"' in (study / "report.html").read_text()


def test_frost_joins_the_mean_where_its_photographs_are_at_hand(study: Path, photographs: Photographs) -> None:
    found = studied(study)
    without = robustness(found, images=20, device="cpu")
    assert without["corruptions"]["common"] == [name for name in COMMON if name != FROST] == list(COMMON)[:8] + [
        "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression"
    ]  # fmt: skip
    assert without["frost_sha256"] is None and FROST not in without["rows"][0]["runs"][0]["scores"]
    answer = robustness(found, images=20, device="cpu", frost=photographs.folder)
    one, other = answer["rows"][0]["runs"][0], without["rows"][0]["runs"][0]
    assert answer["corruptions"]["common"] == list(COMMON) and answer["frost_sha256"] == photographs.sha256
    assert one["corrupted"] == pytest.approx((14 * other["corrupted"] + np.mean(one["scores"][FROST])) / 15)
    assert one["weather"] == pytest.approx((3 * other["weather"] + np.mean(one["scores"][FROST])) / 4)
    assert {**one["scores"], FROST: None} == {**other["scores"], FROST: None}
    shown = ["analyze", "robustness", str(study), "--images", "20", "--device", "cpu"]
    done = CliRunner().invoke(app, [*shown, "--frost", str(photographs.folder)])
    assert done.exit_code == 0 and "mCE is over 15 corruptions" in done.output and "left out" not in done.output
    CliRunner().invoke(app, ["report", str(study), "--no-images"])
    page = (study / "report.html").read_text()
    assert "are over 15." in page and "Mean over the 15 corruptions" in page


def test_frost_covers_images_of_any_size_or_is_refused(photographs: Photographs, tmp_path: Path) -> None:
    for side in (16, 32, 50):
        photographs.cover(side)
    for name in FILES:  # published ones are 560 x 315 px and more
        Image.new("RGB", (560, 315)).save(tmp_path / name, format="PNG")
    read_photographs(tmp_path).cover(224)
    Image.new("RGB", (560, 150)).save(tmp_path / FILES[3], format="PNG")
    with pytest.raises(UserError, match=r"frost4\.jpg is 112 x 30 px where it is laid over images of 32 px"):
        read_photographs(tmp_path).cover(32)
    Image.fromarray(np.full((315, 560), 30_000, dtype=np.uint16)).save(tmp_path / FILES[2], format="PNG")
    with pytest.raises(UserError, match=r"frost3\.png has more than 8 bits a channel"):
        read_photographs(tmp_path)
    (tmp_path / FILES[1]).write_bytes(b"no image")
    with pytest.raises(UserError, match=r"frost2.png cannot be read\nfrost needs frost1.png"):
        read_photographs(tmp_path)
    with pytest.raises(UserError, match=r"frost1\.png is not there"):
        read_photographs(tmp_path / "nowhere")


def test_other_photographs_are_another_frost(study: Path, photographs: Photographs, tmp_path: Path) -> None:
    """What is kept of runs belongs to the photographs that it was made with."""
    for name in FILES:
        Image.new("RGB", (560, 315), (255, 255, 255)).save(tmp_path / name, format="PNG")
    found = studied(study)
    answers = [robustness(found, images=20, device="cpu", frost=one) for one in (photographs.folder, tmp_path)]
    assert answers[0]["frost_sha256"] != answers[1]["frost_sha256"]
    white = corrupt(np.zeros((1, 3, 16, 16), np.uint8), FROST, 5, np.zeros(1, np.int64), 0, read_photographs(tmp_path))
    assert (white == int(0.45 * 255)).all()


def test_images_are_corrupted_a_few_batches_ahead_and_in_their_order() -> None:
    """Not the whole test set at once, which an interruption would wait for."""
    begun: list[int] = []

    def make(some: Tensor) -> tuple[Tensor, NDArray[np.int64]]:
        begun.append(int(some[0]))
        return some, some.numpy()

    with ThreadPoolExecutor(2) as threads:
        found = ahead(threads, make, iter(torch.arange(1000).split(1)))
        assert next(found)[0].item() == 0 and len(begun) <= 2 * usable_cores() + 1
        assert [int(one[0]) for one, _ in found] == list(range(1, 1000)) and sorted(begun) == list(range(1000))


def _set_of_ten_classes(folder: Path, count: int = 50) -> Path:
    folder.mkdir()
    np.save(folder / "fog.npy", np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8))
    np.save(folder / "labels.npy", np.arange(count) % 10)
    return folder


def test_folders_of_others_are_read_level_by_level_or_refused(study: Path, tmp_path: Path) -> None:
    run = as_of_cifar10(load_run(study / "resnet_nano"))
    with pytest.raises(UserError, match="holds neither"):
        read_sets(tmp_path, run)
    folder = _set_of_ten_classes(tmp_path / "CIFAR-10-C")
    ((name, levels),) = read_sets(folder, run)
    batches = [list(level) for level in levels()]
    assert name == "CIFAR-10-C/fog" and len(batches) == 5
    assert batches[1][0][0].shape == (10, 3, 16, 16) and list(batches[1][0][1]) == list(range(10))
    np.save(folder / "labels.npy", np.arange(49))
    with pytest.raises(UserError, match="for 49 labels"):
        read_sets(folder, run)


def as_of_cifar10(run: LoadedRun) -> LoadedRun:
    return replace(run, spec=run.spec.changed({"data.name": "CIFAR-10"}))


def test_what_was_trained_on_ten_other_classes_is_not_scored_on_cifars(study: Path, tmp_path: Path) -> None:
    folder = _set_of_ten_classes(tmp_path / "CIFAR-10-C")
    with pytest.raises(UserError, match=r"is of CIFAR-10, the run .* was trained on digits"):
        robustness(studied(study), images=20, device="cpu", folders=[folder])
    content = entry("cifar10")
    assert content is not None
    run = load_run(study / "resnet_nano")
    own = replace(run, spec=run.spec.changed({"data.name": "folder:mine", "data.checksum": content.checksum}))
    assert len(read_sets(folder, own)) == 1


def test_of_a_study_on_several_data_each_row_is_scored_on_the_sets_of_its_own(tmp_path: Path) -> None:
    ten, hundred = (_set_of_ten_classes(tmp_path / name) for name in ("CIFAR-10-C", "CIFAR-100-C"))
    np.save(hundred / "labels.npy", np.arange(50) * 2 + 1)
    (tmp_path / "empty").mkdir()
    data = [DataSpec(name=name) for name in ("cifar10", "cifar100", "digits")]
    assert [folders_for(one, [ten, hundred], data) for one in data] == [[ten], [hundred], []]
    assert folders_for(data[2], [ten, tmp_path / "empty"], data[2:]) == [ten, tmp_path / "empty"]  # to be refused


def test_a_folder_given_twice_is_read_once_and_two_sets_of_one_name_are_refused(study: Path, tmp_path: Path) -> None:
    network = NetworkOfRun(study / "resnet_nano", "cpu")
    network.run = as_of_cifar10(network.run)
    one, other = tmp_path / "one", tmp_path / "other"
    for root in (one, other):
        root.mkdir()
        _set_of_ten_classes(root / "CIFAR-10-C")
    twice = [one / "CIFAR-10-C", one / "CIFAR-10-C" / ".." / "CIFAR-10-C"]
    assert [name for _, name, _ in sets_of(twice, network)] == ["CIFAR-10-C/fog"]
    with pytest.raises(UserError, match="both hold CIFAR-10-C/fog"):
        sets_of([one / "CIFAR-10-C", other / "CIFAR-10-C"], network)


def test_a_logit_that_is_not_a_number_makes_no_prediction_right() -> None:
    """numpy takes the first of them for the highest, which would be right for images of class 0."""
    logits = np.array([[np.nan, 1, 2], [3, np.nan, 0], [3, 1, 2], [np.inf, 0, 0]], dtype=np.float32)
    assert right_of(logits, np.zeros(4, np.int64)) == 2
