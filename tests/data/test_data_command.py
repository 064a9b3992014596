"""`levelfield data`: what each subcommand prints and writes, and how it fails."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_images import encode, random_images
from PIL import Image
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.data import open_data
from levelfield.errors import UserError
from levelfield.spec import DataSpec


def run(*arguments: object) -> str:
    """Standard output of a command that succeeds; a UserError is raised as it is."""
    result = CliRunner().invoke(app, ["data", *map(str, arguments)])
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    for row, pixels in enumerate(random_images(30, 10)):
        path = tmp_path / "pictures" / ["wren", "owl", "rook"][row % 3] / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(pixels))
    return tmp_path / "pictures"


def test_list_names_the_known_sets_and_the_folders_of_the_data_folder(birds: Path) -> None:
    entries = {entry["name"]: entry for entry in json.loads(run("list", "--data-dir", birds.parent, "--json"))["data"]}
    assert entries["digits"]["found"] == "built in"
    assert entries["cifar10"]["found"] is None and entries["cifar10"]["train"] == 50_000
    assert entries["pictures"]["found"] == str(birds)
    assert "stanford_dogs" in run("list")


def test_an_imported_set_is_there_by_its_name_even_when_the_files_are_gone(birds: Path) -> None:
    run("import", "birds", "--from", birds, "--image-size", 16)
    birds.rename(birds.with_name("moved"))
    report = json.loads(run("check", "birds", "--json"))
    assert report["classes"] == ["owl", "rook", "wren"]
    assert [report["splits"][split]["count"] for split in ("train", "test")] == [24, 6]
    assert open_data(DataSpec(name="birds", image_size=16)).train.side_px == 16
    with pytest.raises(UserError, match=r"import it again: levelfield data import birds"):
        run("check", "birds", "--fresh")


def test_check_prints_what_a_person_needs(birds: Path) -> None:
    text = run("check", f"folder:{birds}")
    for words in ("3 classes", "24 images, 8 per class", "10x10 (24)", "duplicates", "other data", "checksum"):
        assert words in text, words


def test_check_names_the_copies(birds: Path) -> None:
    for copy in range(3):
        (birds / "owl" / f"copy{copy}.png").write_bytes((birds / "owl" / "1.png").read_bytes())
    text = run("check", f"folder:{birds}")
    assert "owl/1.png = " in text and "owl/copy2.png" in text
    assert "1 images" not in text and "1 surplus copies" not in text


def test_show_leaves_out_what_does_not_decode_and_says_so(birds: Path, tmp_path: Path) -> None:
    (birds / "owl" / "torn.png").write_bytes(b"torn")
    result = CliRunner().invoke(app, ["data", "show", f"folder:{birds}", "--out", str(tmp_path / "sheet.png")])
    assert result.exit_code == 0, result.output
    assert "1 image that does not decode is left out" in result.stderr
    assert (tmp_path / "sheet.png").is_file()


def test_list_says_what_can_be_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEVELFIELD_DATA", raising=False)
    lines = {line.split()[0]: line for line in run("list").splitlines() if line.strip()}
    assert lines["imagenet1k"].endswith("no: see image-net.org")
    assert lines["cub200"].endswith("no: levelfield data get")


@pytest.mark.parametrize("more", [[], ["--recipe", "mixed.yaml"], ["--split", "test"]], ids=str)
def test_show_writes_a_contact_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mixed.yaml").write_text(
        "augment: {crop: {name: pad_crop, padding_px: 4}, flip: random}\nmix: {mixup_alpha: 1}"
    )
    path = tmp_path / "sheet.png"
    run("show", "digits", "--count", 12, "--image-size", 32, "--out", path, *more)
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    assert pixels.shape[1] > 8 * 96 and pixels.std() > 20


def test_get_of_a_set_that_is_there_fetches_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="built in"):
        run("get", "digits")
    with pytest.raises(UserError, match="unknown data set 'cifar20'"):
        run("get", "cifar20")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["check", "cifra10"], "did you mean 'cifar10'"),
        (["check", "folder:picturs"], r"no folder 'picturs': did you mean folder:pictures\?"),
        (["check", "parquet:nowhere"], r"no folder 'nowhere'\nparquet:PATH names the folder that holds train\*"),
        (["import", "a/b", "--from", "."], "cannot be named"),
        (["import", "x", "--from", "nowhere"], "no such file"),
        (["show", "digits", "--recipe", "cpu-fats"], "unknown recipe 'cpu-fats'"),
        (["show", "digits", "--split", "val"], "give train or test"),
    ],
)
def test_mistakes_are_explained(arguments: list[str], words: str, birds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(birds.parent)
    with pytest.raises(UserError, match=words):
        run(*arguments)
