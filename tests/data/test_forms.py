"""Every form that is read in place, each made on the spot, and what their damage says."""

from __future__ import annotations

import os
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from made_images import encode, random_images, write_parquet

from levelfield.data import ImageData, open_data
from levelfield.data.cache_folder import cache_dir
from levelfield.data.sources.done_to_data import CUT_TEST, done_to_data
from levelfield.data.sources.readers.cifar import unpickle
from levelfield.errors import UserError
from levelfield.spec import DataSpec

CIFAR = random_images(60, 32)
CIFAR_PLANES = CIFAR.transpose(0, 3, 1, 2).reshape(60, 3072)
TEN = [f"class {number}" for number in range(10)]


def write(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def cifar10_pickles(root: Path) -> Path:
    folder = root / "cifar-10-batches-py"
    for part in range(6):
        rows = slice(part * 10, part * 10 + 10)
        batch = {b"data": CIFAR_PLANES[rows], b"labels": list(range(10)), b"filenames": [b"a.png"] * 10}
        name = f"data_batch_{part + 1}" if part < 5 else "test_batch"
        write(folder / name, pickle.dumps(batch, protocol=2))
    write(folder / "batches.meta", pickle.dumps({b"label_names": [name.encode() for name in TEN]}, protocol=2))
    return folder


def cifar10_binary(root: Path) -> Path:
    folder = root / "cifar-10-batches-bin"
    for part in range(6):
        rows = [bytes([row % 10]) + CIFAR_PLANES[row].tobytes() for row in range(part * 10, part * 10 + 10)]
        write(folder / (f"data_batch_{part + 1}.bin" if part < 5 else "test_batch.bin"), b"".join(rows))
    write(folder / "batches.meta.txt", "\n".join(name.replace(" ", "_") for name in TEN) + "\n\n")
    return folder


def cifar100_pickles(root: Path) -> Path:
    folder = root / "cifar-100-python"
    for name, rows in (("train", slice(0, 50)), ("test", slice(50, 60))):
        labels = [row % 10 for row in range(60)][rows]
        batch = {"data": CIFAR_PLANES[rows], "fine_labels": labels, "coarse_labels": [0] * len(labels)}
        write(folder / name, pickle.dumps(batch, protocol=2))
    write(folder / "meta", pickle.dumps({"fine_label_names": TEN, "coarse_label_names": ["x"]}, protocol=2))
    return folder


def cifar100_binary(root: Path) -> Path:
    folder = root / "cifar-100-binary"
    rows = [bytes([19, row % 10]) + CIFAR_PLANES[row].tobytes() for row in range(60)]
    write(folder / "train.bin", b"".join(rows[:50]))
    write(folder / "test.bin", b"".join(rows[50:]))
    write(folder / "fine_label_names.txt", "\n".join(name.replace(" ", "_") for name in TEN))
    return folder


PHOTOS = random_images(24, 16)


def tiny_imagenet(root: Path) -> Path:
    folder = root / "tiny-imagenet-200"
    wnids = ["n02", "n01", "n03"]
    for row in range(18):
        write(folder / "train" / wnids[row % 3] / "images" / f"{wnids[row % 3]}_{row}.JPEG", encode(PHOTOS[row]))
    lines = [f"val_{row}.JPEG\t{wnids[row % 3]}\t0\t0\t62\t62" for row in range(18, 24)]
    for row in range(18, 24):
        write(folder / "val" / "images" / f"val_{row}.JPEG", encode(PHOTOS[row]))
    write(folder / "val" / "val_annotations.txt", "\n".join(lines) + "\n")
    write(folder / "wnids.txt", "\n".join(wnids))
    write(folder / "words.txt", "n01\tgoldfish, Carassius auratus\nn02\tbee\nn99\tnot here\n")
    write(folder / "test" / "images" / "test_0.JPEG", encode(PHOTOS[0]))
    return folder


def cub(root: Path) -> Path:
    folder = root / "CUB_200_2011"
    birds = ["001.Albatross", "002.Auklet", "003.Ani"]
    paths = [f"{birds[row % 3]}/{row}.jpg" for row in range(24)]
    for row, path in enumerate(paths):
        write(folder / "images" / path, encode(PHOTOS[row]))
    write(folder / "images.txt", "".join(f"{row + 1} {path}\n" for row, path in enumerate(paths)))
    write(folder / "image_class_labels.txt", "".join(f"{row + 1} {row % 3 + 1}\n" for row in range(24)))
    write(folder / "train_test_split.txt", "".join(f"{row + 1} {int(row < 18)}\n" for row in range(24)))
    write(folder / "classes.txt", "".join(f"{number + 1} {bird}\n" for number, bird in enumerate(birds)))
    return folder


def dogs(root: Path) -> Path:
    folder = root / "stanford_dogs"
    breeds = ["n02-Chihuahua", "n01-Pug", "n03-Collie"]
    files = [f"{breeds[row % 3]}/{row}.jpg" for row in range(24)]
    for row, file in enumerate(files):
        write(folder / "Images" / file, encode(PHOTOS[row]))
    for split, rows in (("train", range(18)), ("test", range(18, 24))):
        cells = np.empty((len(rows), 1), dtype=object)
        cells[:, 0] = [files[row] for row in rows]
        labels = np.array([[row % 3 + 1] for row in rows], dtype=np.uint8)
        scipy.io.savemat(folder / f"{split}_list.mat", {"file_list": cells, "labels": labels})
    return folder


def class_folders(root: Path) -> Path:
    folder = root / "imagenet1k"
    for row in range(24):
        split = "train" if row < 18 else "val"
        write(folder / split / f"n0{row % 3}" / f"{row}.JPEG", encode(PHOTOS[row]))
    return folder


def parquet(root: Path) -> Path:
    images, labels = [encode(image) for image in PHOTOS], [row % 3 for row in range(24)]
    write_parquet(root / "cub200" / "data" / "train-00000-of-00001.parquet", images[:18], labels[:18], list("abc"))
    write_parquet(root / "cub200" / "data" / "validation-00000-of-00001.parquet", images[18:], labels[18:], list("abc"))
    return root / "cub200"


def pack(folder: Path, name: str) -> None:
    """Replace `folder` by the archive `name` beside it, everything below one top folder, as the official ones are."""
    archive = folder.parent / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(archive, "w") as zipped:
            for file in sorted(folder.rglob("*")):
                zipped.write(file, file.relative_to(folder.parent))
    else:
        with tarfile.open(archive, "w:gz" if name.endswith("gz") else "w") as tar:
            tar.add(folder, folder.name)
    shutil.rmtree(folder)


def pack_dogs(folder: Path) -> None:
    for name, members in (("images.tar", ["Images"]), ("lists.tar", ["train_list.mat", "test_list.mat"])):
        with tarfile.open(folder / name, "w") as tar:
            for member in members:
                tar.add(folder / member, member)
    shutil.rmtree(folder / "Images")
    for file in folder.glob("*.mat"):
        file.unlink()


FORMS: dict[str, tuple[str, Callable[[Path], Path], str | None]] = {
    "cifar10 pickles": ("cifar10", cifar10_pickles, None),
    "cifar10 pickles, tar.gz": ("cifar10", cifar10_pickles, "cifar-10-python.tar.gz"),
    "cifar10 binary": ("cifar10", cifar10_binary, None),
    "cifar10 binary, tar.gz": ("cifar10", cifar10_binary, "cifar-10-binary.tar.gz"),
    "cifar100 pickles": ("cifar100", cifar100_pickles, None),
    "cifar100 pickles, tar.gz": ("cifar100", cifar100_pickles, "cifar-100-python.tar.gz"),
    "cifar100 binary": ("cifar100", cifar100_binary, None),
    "tiny_imagenet": ("tiny_imagenet", tiny_imagenet, None),
    "tiny_imagenet, zip": ("tiny_imagenet", tiny_imagenet, "tiny-imagenet-200.zip"),
    "cub200": ("cub200", cub, None),
    "cub200, tgz": ("cub200", cub, "CUB_200_2011.tgz"),
    "stanford_dogs": ("stanford_dogs", dogs, None),
    "stanford_dogs, tars": ("stanford_dogs", dogs, "tars"),
    "imagenet1k class folders": ("imagenet1k", class_folders, None),
    "cub200 Parquet": ("cub200", parquet, None),
}


def open_(name: str, root: Path | None = None, **more: object) -> ImageData:
    return open_data(DataSpec.model_validate({"name": name, **more}), root)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("nested", [False, True], ids=["in the data folder", "in a folder of its own"])
def test_each_form_gives_its_images_with_their_labels(tmp_path: Path, form: str, nested: bool) -> None:
    name, make, archive = FORMS[form]
    root = tmp_path / "data"
    folder = make(root / name if nested else root)
    if archive == "tars":
        pack_dogs(folder)
    elif archive is not None:
        pack(folder, archive)
    before = sorted(path for path in root.rglob("*"))
    data = open_(name, root)
    images, count = (CIFAR, 50) if name.startswith("cifar") else (PHOTOS, 18)
    modulus = 10 if name.startswith("cifar") else 3
    assert (len(data.train), len(data.test), len(data.classes)) == (count, len(images) - count, modulus)
    swapped = {0: 1, 1: 0, 2: 2} if name in ("tiny_imagenet",) else {}
    place = {image.tobytes(): row for row, image in enumerate(images)}
    for split, rows in ((data.train, range(count)), (data.test, range(count, len(images)))):
        pixels = split.read(torch.arange(len(split))).permute(0, 2, 3, 1).numpy()
        found = [place[image.tobytes()] for image in pixels]
        assert sorted(found) == list(rows)
        labels = [swapped.get(row % modulus, row % modulus) for row in found]
        assert split.labels.tolist() == labels
    assert before == sorted(path for path in root.rglob("*"))


def test_all_forms_of_one_set_have_one_checksum(tmp_path: Path) -> None:
    made = {make: tmp_path / make.__name__ for make in (cifar10_pickles, cifar10_binary)}
    assert len({open_("cifar10", make(root).parent).checksum for make, root in made.items()}) == 1
    others = {"cub200": cub, "stanford_dogs": dogs, "imagenet1k": class_folders}
    assert len({open_(name, make(tmp_path / name).parent).checksum for name, make in others.items()}) == 1


def test_class_names_come_from_the_set(tmp_path: Path) -> None:
    assert open_("tiny_imagenet", tiny_imagenet(tmp_path / "a").parent).classes == ("n01 goldfish", "n02 bee", "n03")
    assert open_("cub200", cub(tmp_path / "b").parent).classes[2] == "003.Ani"
    assert open_("stanford_dogs", dogs(tmp_path / "c").parent).classes == ("n02-Chihuahua", "n01-Pug", "n03-Collie")
    assert open_("cifar10", cifar10_pickles(tmp_path / "d").parent).classes == tuple(TEN)


def test_wrong_counts_are_named_in_the_notes(tmp_path: Path) -> None:
    data = open_("cub200", cub(tmp_path).parent)
    assert data.official is False
    assert "train has 18 images, officially 5,994" in data.notes
    assert any("overlaps ImageNet" in note for note in data.notes)


def test_ones_own_folder_and_parquet_with_and_without_given_splits(tmp_path: Path) -> None:
    given = open_(f"folder:{class_folders(tmp_path)}")
    assert (len(given.train), len(given.test)) == (18, 6)
    flat = tmp_path / "flat"
    for row in range(24):
        write(flat / "abc"[row % 3] / f"{row}.png", encode(PHOTOS[row]))
    images, labels = [encode(image) for image in PHOTOS], ["abc"[row % 3] for row in range(24)]
    write_parquet(tmp_path / "own" / "birds.parquet", images, labels)
    for name in (f"folder:{flat}", f"parquet:{tmp_path / 'own'}"):
        data = open_(name)
        assert data.classes == ("a", "b", "c")
        assert (len(data.train), len(data.test)) == (19, 5)
        assert any("no test split was given" in note for note in data.notes)
        assert done_to_data(data.notes) == [CUT_TEST]
        assert torch.bincount(data.test.labels, minlength=3).min() >= 1


@pytest.mark.parametrize("labelled", [True, False])
def test_the_test_files_go_before_the_validation_files_if_they_have_labels(tmp_path: Path, labelled: bool) -> None:
    images, classes = [encode(image) for image in PHOTOS], ["a", "b"]
    for split, rows in (("train", range(12)), ("validation", range(12, 20)), ("test", range(20, 24))):
        labels = [row % 2 if labelled or split != "test" else -1 for row in rows]
        write_parquet(tmp_path / "own" / f"{split}.parquet", [images[row] for row in rows], labels, classes)
    data = open_("own", tmp_path)
    assert (len(data.train), len(data.test)) == (12, 4 if labelled else 8)
    words = "validation images are not used" if labelled else "test files have no labels"
    assert any(words in note for note in data.notes)


@pytest.mark.parametrize("name, leaks", [("cub-20", True), ("tiny-imagenet-34", True), ("cubes", False)])
def test_subsets_of_leaky_sets_carry_their_note(tmp_path: Path, name: str, leaks: bool) -> None:
    class_folders(tmp_path).rename(tmp_path / name)
    assert any("ImageNet" in note for note in open_(name, tmp_path).notes) is leaks


def test_streamed_reading_of_files_equals_the_store(tmp_path: Path) -> None:
    root = class_folders(tmp_path).parent
    spec, rows = DataSpec(name="imagenet1k", image_size=10), torch.arange(6)
    encoded = open_data(spec, root, pixels="encoded").test.read(rows)
    assert not list(cache_dir().rglob("images-*resize-10*"))
    assert torch.equal(encoded, open_data(spec, root).test.read(rows))


def test_a_pickle_that_runs_code_is_refused() -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, ("true",)

    with pytest.raises(UserError, match="it wants to run posix"):
        unpickle(pickle.dumps({b"data": Bomb()}), "data_batch_1")


def damage(case: str, root: Path) -> str:
    """Make a damaged set below `root` and return its name."""
    if case == "validation folder holds all images in one folder":
        folder = class_folders(root)
        (folder / "val").rename(folder / "old")
        shutil.copytree(folder / "old" / "n00", folder / "val" / "images")
        shutil.rmtree(folder / "old")
        return "imagenet1k"
    if case == "class without train images":
        folder = class_folders(root)
        (folder / "train" / "n09").mkdir()
        return "imagenet1k"
    if case == "truncated archive":
        pack(cifar10_pickles(root), "cifar-10-python.tar.gz")
        path = root / "cifar-10-python.tar.gz"
        path.write_bytes(path.read_bytes()[:2000])
        return "cifar10"
    if case == "truncated zip":
        pack(tiny_imagenet(root), "tiny-imagenet-200.zip")
        path = root / "tiny-imagenet-200.zip"
        path.write_bytes(path.read_bytes()[:2000])
        return "tiny_imagenet"
    if case == "truncated binary":
        path = cifar10_binary(root) / "data_batch_3.bin"
        path.write_bytes(path.read_bytes()[:-5])
        return "cifar10"
    if case == "missing image":
        (cub(root) / "images" / "002.Auklet" / "4.jpg").unlink()
        return "cub200"
    if case == "lists disagree":
        write(cub(root) / "train_test_split.txt", "1 1\n2 0\n")
        return "cub200"
    assert case == "damaged pickle"
    write(cifar10_pickles(root) / "data_batch_2", b"\x80\x02}q\x00(U")
    return "cifar10"


@pytest.mark.parametrize(
    "case, words",
    [
        ("validation folder holds all images in one folder", ["images", "same class folders as train"]),
        ("class without train images", ["n09", "no train images"]),
        ("truncated archive", ["cifar-10-python.tar.gz", "truncated or damaged"]),
        ("truncated zip", ["tiny-imagenet-200.zip", "truncated or damaged"]),
        ("truncated binary", ["data_batch_3.bin", "truncated or damaged"]),
        ("missing image", ["4.jpg", "missing"]),
        ("lists disagree", ["train_test_split.txt has 2 entries", "images.txt has 24"]),
        ("damaged pickle", ["data_batch_2", "not an official CIFAR pickle"]),
    ],
)
def test_damage_is_named(tmp_path: Path, case: str, words: list[str]) -> None:
    name = damage(case, tmp_path)
    with pytest.raises(UserError) as caught:
        open_(name, tmp_path)
    assert all(word in str(caught.value) for word in words), caught.value
    assert len(str(caught.value).splitlines()) <= 3
