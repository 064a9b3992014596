"""Predictions on images of one's own are those of the run's test, whatever the file; bad ones are named."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_run import run_spec
from test_preprocess import KINDS, write_every_kind
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.data.loading.image_files import image_files
from levelfield.errors import UserError
from levelfield.models.network_parts import classifier_name
from levelfield.training import load_run, prepare, train_prepared
from levelfield.training.calibrate_finished_run import calibrate
from levelfield.training.predict_images import predict


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs on images of every kind, of other sizes, and those images: `one`, `two`, `images`."""
    root = tmp_path_factory.mktemp("predict")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEVELFIELD_CACHE", str(root / "cache"))
        write_every_kind(root / "images")
        for name, size in (("one", 16), ("two", 8)):
            spec = run_spec(
                f"data.name=folder:{root / 'images'}", f"data.image_size={size}", "data.resize_px=19",
                "data.train_limit=null", "data.test_limit=null", "recipe.batch_size=4", "recipe.validation=0.2",
            )  # fmt: skip
            train_prepared(prepare(spec), root / name)
    return root


def what_was_tested(run: Path) -> tuple[list[str], np.ndarray]:
    """The paths of a run's test images, and what its test said of each."""
    from levelfield.data import open_data

    loaded = load_run(run)
    data = open_data(loaded.spec.data)
    found = loaded.folder.predictions()
    assert found is not None
    root = Path(loaded.spec.data.name.removeprefix("folder:")) / "test"
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.*"))
    rows = data.test.rows[found.index].tolist()
    return [str(root / files[row]) for row in rows], found.probabilities


def test_every_kind_of_file_is_predicted_as_it_was_tested(folder: Path) -> None:
    paths, said = what_was_tested(folder / "one")
    assert len(paths) == len(KINDS)
    for batch_size in (1, 3, 64):
        found = load_run(folder / "one").predict(paths, batch_size=batch_size)
        assert list(found.names) == paths and found.bad == () and found.temperatures == (1.0,)
        np.testing.assert_allclose(found.probabilities, said, atol=2e-6)
        assert (found.probabilities.argmax(1) == said.argmax(1)).all()
    again = load_run(folder / "one").predict([Path(path).read_bytes() for path in paths])
    assert again.names == tuple(f"#{row}" for row in range(len(paths)))
    assert (again.probabilities == found.probabilities).all()
    opened = load_run(folder / "one").predict([Image.open(path) for path in paths])
    assert (opened.probabilities == found.probabilities).all()


def test_deployed_forms_predict_the_same(folder: Path) -> None:
    paths, said = what_was_tested(folder / "one")
    found = predict([load_run(folder / "one")], paths, batch_size=4, deploy=True)
    np.testing.assert_allclose(found.probabilities, said, atol=1e-4)
    (account,) = found.deployed
    assert account.folded == 9 and account.images == 4 and account.logits_off < 1e-4  # resnet_nano's norms
    both = predict([load_run(folder / "one"), load_run(folder / "two")], paths, deploy=True)
    assert len(both.deployed) == 2
    assert predict([load_run(folder / "one")], paths[:1]).deployed == ()


def test_arrays_are_images_and_other_arrays_are_not(folder: Path) -> None:
    run, pixels = load_run(folder / "one"), np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    found = run.predict([pixels, encoded.getvalue(), pixels.astype(np.float32), pixels[..., 0]])  # type: ignore[list-item]
    assert (found.probabilities[0] == found.probabilities[1]).all() and len(found.names) == 2
    assert [name for name, _ in found.bad] == ["#2", "#3"] and "give uint8 (H, W, 3)" in found.bad[0][1]


@pytest.mark.parametrize("kind", [str, Path, bytes, np.ndarray, Image.Image, iter])
def test_one_image_in_place_of_a_list_is_refused(kind: Any, folder: Path) -> None:
    path = folder / "images" / "test" / "a" / "plain.png"
    picture = Image.open(path)
    one = {
        str: str(path), Path: path, bytes: path.read_bytes(), np.ndarray: np.asarray(picture.convert("RGB")),
        Image.Image: picture, iter: iter([path]),
    }[kind]  # fmt: skip
    with pytest.raises(UserError, match=r"predict takes a list of images, and this is .*\ngive a list, as \[image\]"):
        load_run(folder / "one").predict(one)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch_size": 0}, "a batch of 0 images"),
        ({"names": ["a"]}, "1 names are given for 2 of them"),
        ({"temperatures": []}, "0 temperatures are given for 1 of them"),
        ({"temperatures": [0.0]}, "temperature 0 is no divisor"),
        ({"temperatures": [-2.0]}, "temperature -2 is no divisor"),
        ({"temperatures": [float("nan")]}, "temperature nan is no divisor"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(options: dict[str, Any], said: str, folder: Path) -> None:
    path, run = folder / "images" / "test" / "a" / "plain.png", load_run(folder / "one")
    with pytest.raises(UserError, match=said):
        predict([run], [path, path], **options)


def test_what_is_no_image_is_named_and_no_count_below_one_is_taken(folder: Path) -> None:
    nothing = [np.zeros((0, 5, 3), np.uint8), torch.zeros(4, 5, 3, dtype=torch.uint8), None]
    found = load_run(folder / "one").predict([*nothing, np.zeros((1, 1, 3), np.uint8)])  # type: ignore[list-item]
    assert [name for name, _ in found.bad] == ["#0", "#1", "#2"] and found.names == ("#3",)
    for count in (0, -1):
        with pytest.raises(UserError, match="give 1 or more"):
            found.top(count)


def test_temperature_divides_logits_of_any_size(folder: Path) -> None:
    """Not the logarithms of probabilities, of which the small ones are zero in float32."""
    run = load_run(folder / "one")
    head = run.model.get_submodule(str(classifier_name(run.model)))
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.mul_(6000)
        logits = run.model(run.preprocess(folder / "images" / "test" / "a" / "plain.png"))
    assert float(logits.max() - logits.min()) > 100
    found = predict([run], [folder / "images" / "test" / "a" / "plain.png"], temperatures=[50.0], device="cpu")
    np.testing.assert_allclose(found.probabilities, (logits / 50).softmax(1).numpy(), rtol=1e-4)


def test_several_runs_are_their_mean(folder: Path) -> None:
    paths, _ = what_was_tested(folder / "one")
    one, two = load_run(folder / "one"), load_run(folder / "two")
    both = predict([one, two], paths)
    mean = (one.predict(paths).probabilities + two.predict(paths).probabilities) / 2
    np.testing.assert_allclose(both.probabilities, mean, atol=1e-12)
    likeliest = both.top(2)
    assert [row[0][1] for row in likeliest] == both.probabilities.max(1).tolist()
    assert all(first[1] >= second[1] for first, second in likeliest)


def test_runs_of_other_classes_are_no_ensemble(folder: Path, tmp_path: Path) -> None:
    train_prepared(prepare(run_spec("budget.steps=1")), tmp_path / "digits")
    with pytest.raises(UserError, match="knows other classes than"):
        predict([load_run(folder / "one"), load_run(tmp_path / "digits")], [])
    with pytest.raises(UserError, match="no run to predict with"):
        predict([], [])


def test_a_calibrated_run_predicts_at_its_temperature(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "one", tmp_path / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEVELFIELD_CACHE", str(folder / "cache"))
        written = calibrate(tmp_path / "run")
    assert written["split"] == "validation" and written["n"] == 2 and written["nll_after"] <= written["nll_before"]
    paths, said = what_was_tested(folder / "one")
    found = load_run(tmp_path / "run").predict(paths)
    assert found.temperatures == (written["temperature"],) and found.temperatures != (1.0,)
    assert (found.probabilities.argmax(1) == said.argmax(1)).all()
    odds = np.log(said[:, 0].astype(np.float64) / said[:, 1]) / written["temperature"]
    now = np.log(found.probabilities[:, 0] / found.probabilities[:, 1])
    np.testing.assert_allclose(now, odds, rtol=1e-3, atol=1e-5)


def test_the_command_names_bad_images_and_goes_on(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "images" / "test", tmp_path / "mine")
    (tmp_path / "mine" / "broken.png").write_bytes(b"nothing")
    named = [str(tmp_path / "mine"), str(tmp_path / "gone.png")]
    asked = ["predict", str(folder / "one"), *named, "--with", str(folder / "two"), "--top", "1"]
    answer = CliRunner().invoke(app, [*asked, "--json"])
    assert answer.exit_code == 3
    value = json.loads(answer.stdout)
    assert [bad["image"] for bad in value["bad"]] == [str(tmp_path / "mine" / "broken.png"), str(tmp_path / "gone.png")]
    assert len(value["images"]) == len(KINDS) and all(len(image["top"]) == 1 for image in value["images"])
    assert value["temperatures"] == [1.0, 1.0] and value["classes"] == ["a", "b"]
    written = CliRunner().invoke(app, [*asked[:-2], "--csv", str(tmp_path / "out.csv")])
    assert written.exit_code == 3 and "left out: " in written.stderr and written.stdout == ""
    lines = list(csv.DictReader((tmp_path / "out.csv").open(encoding="utf-8")))
    assert [line["image"] for line in lines] == [image["image"] for image in value["images"]]
    assert [line["class_1"] for line in lines] == [image["top"][0]["class"] for image in value["images"]]
    assert set(lines[0]) == {"image", "class_1", "probability_1", "class_2", "probability_2"}
    shown = CliRunner().invoke(app, ["predict", str(folder / "one"), str(tmp_path / "mine" / "a")])
    assert shown.exit_code == 0 and "plain.png" in shown.stdout and " %" in shown.stdout


def test_images_are_named_in_every_way(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "notes.txt", "in/c.webp", ".hidden.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "list.csv").write_text("label,path\n1,b.png\n2,in/c.webp\n", encoding="utf-8")
    (tmp_path / "one.csv").write_text("anything\nb.png\n", encoding="utf-8")
    (tmp_path / "headless.csv").write_text("b.png\na.JPG\n", encoding="utf-8")
    (tmp_path / "single.csv").write_text("b.png\n", encoding="utf-8")
    (tmp_path / "gap.csv").write_text("path,label\nb.png,1\n,2\n", encoding="utf-8")
    (tmp_path / "none.csv").write_text("label,place\n1,b.png\n", encoding="utf-8")

    def named(*names: str, stdin: str = "") -> list[str]:
        found = image_files([str(tmp_path / name) if name != "-" else name for name in names], io.StringIO(stdin))
        return [Path(path).relative_to(tmp_path).as_posix() if Path(path).is_absolute() else path for path in found]

    assert named("") == ["a.JPG", "b.png", "in/c.webp"]
    assert named("*.png") == ["b.png"] and named("**/*.webp") == ["in/c.webp"]
    assert named("list.csv") == ["b.png", "in/c.webp"] and named("one.csv") == ["b.png"]
    assert named("b.png", "gone.png") == ["b.png", "gone.png"]
    assert named("-", stdin="x.png\n\n y.png \n") == ["x.png", "y.png"]
    nothing = {
        ("none.csv",): "no column of paths",
        ("headless.csv",): "names an image .*, not columns",
        ("single.csv",): "names an image .*, not columns",
        ("gap.csv",): "row 2 below the heading names no image",
        ("*.gif",): "no image in",
        ("-",): "no image in stdin",
        (): "no image",
    }
    for names, why in nothing.items():
        with pytest.raises(UserError, match=why):
            named(*names)
