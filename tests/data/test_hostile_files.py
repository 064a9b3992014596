"""Missing, empty, truncated, foreign and escaping content of every form: one UserError, nothing written outside."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_images import encode, random_images, write_parquet

from levelfield.data import open_data
from levelfield.errors import UserError
from levelfield.spec import DataSpec

PNG = encode(random_images(1)[0])
NOISE = random_images(1, 40)[0].tobytes()

ARCHIVES = {
    "cifar-10-python.tar.gz": ("cifar10", "cifar-10-batches-py/batches.meta"),
    "cifar-10-binary.tar.gz": ("cifar10", "cifar-10-batches-bin/batches.meta.txt"),
    "cifar-100-python.tar.gz": ("cifar100", "cifar-100-python/meta"),
    "cifar-100-binary.tar.gz": ("cifar100", "cifar-100-binary/fine_label_names.txt"),
    "tiny-imagenet-200.zip": ("tiny_imagenet", "tiny-imagenet-200/val/val_annotations.txt"),
    "CUB_200_2011.tgz": ("cub200", "CUB_200_2011/train_test_split.txt"),
    "lists.tar": ("stanford_dogs", "train_list.mat"),
}


def packed(name: str, members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    if name.endswith(".zip"):
        with zipfile.ZipFile(out, "w") as archive:
            for member, data in members.items():
                archive.writestr(member, data)
        return out.getvalue()
    with tarfile.open(fileobj=out, mode="w" if name.endswith(".tar") else "w:gz") as archive:
        for member, data in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def content(name: str, how: str) -> bytes:
    marker = ARCHIVES[name][1]
    return {
        "missing members": packed(name, {"readme.txt": b"nothing here"}),
        "only the marker, empty": packed(name, {marker: b""}),
        "only the marker, foreign": packed(name, {marker: NOISE}),
        "only the marker, plain text": packed(name, {marker: b"1 2\n2 1\nx y\n"}),
        "a pickle of something else": packed(name, {marker: pickle.dumps([1, 2])}),
        "escaping members": packed(name, {"../../escaped.txt": b"x", "/tmp-levelfield-escaped": b"x", marker: NOISE}),
        "empty": b"",
        "foreign": b"<html>not found</html>",
        "truncated": packed(name, {marker: NOISE, "more": NOISE})[:300],
    }[how]


HOW = ["missing members", "only the marker, empty", "only the marker, foreign", "only the marker, plain text",
       "a pickle of something else", "escaping members", "empty", "foreign", "truncated"]  # fmt: skip


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_ends_in_one_user_error(name: str, how: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_bytes(content(name, how))
    before = {path for path in tmp_path.rglob("*") if "cache" not in path.parts}
    with pytest.raises(UserError) as caught:
        open_data(DataSpec(name=ARCHIVES[name][0], image_size=8), tmp_path / "data")
    assert len(str(caught.value).splitlines()) <= 2 and "AssertionError" not in str(caught.value)
    assert {path for path in tmp_path.rglob("*") if "cache" not in path.parts} == before


FOLDERS = {
    "an empty split": {"train/a/1.png": PNG, "train/b/1.png": PNG, "test/a/1.txt": b""},
    "an empty image": {"train/a/1.png": b"", "train/b/1.png": PNG, "test/a/1.png": PNG, "test/b/1.png": PNG},
    "a truncated image": {"train/a/1.png": PNG[:60], "train/b/1.png": PNG, "test/a/1.png": PNG, "test/b/1.png": PNG},
    "a foreign class": {"train/a/1.png": PNG, "train/b/1.png": PNG, "test/c/1.png": PNG},
    "no images": {"train/a/1.txt": b"", "train/b/1.txt": b""},
    "an empty Parquet file": {"train.parquet": b"", "test.parquet": b""},
    "a foreign Parquet file": {"train.parquet": NOISE, "test.parquet": NOISE},
}


@pytest.mark.parametrize("how", FOLDERS)
def test_a_folder_ends_in_one_user_error(how: str, tmp_path: Path) -> None:
    for name, data in FOLDERS[how].items():
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    with pytest.raises(UserError):
        open_data(DataSpec(name=f"folder:{tmp_path / 'set'}", image_size=8))


def test_a_truncated_parquet_file_is_named(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_parquet(tmp_path / "set" / f"{split}.parquet", [PNG] * 4, [0, 1, 0, 1])
    whole = (tmp_path / "set" / "train.parquet").read_bytes()
    (tmp_path / "set" / "train.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="truncated or damaged"):
        open_data(DataSpec(name=f"parquet:{tmp_path / 'set'}", image_size=8))


ESCAPES = ["../outside.png", "a/../../outside.png", "{outside}", "..\\outside.png"]


@pytest.mark.parametrize("escape", ESCAPES)
def test_a_list_that_leads_out_of_the_data_set_is_not_followed(escape: str, tmp_path: Path) -> None:
    """Through CUB's list of images, and through the paths that a Parquet file may hold in place of bytes."""
    outside = tmp_path / "outside.png"
    outside.write_bytes(PNG)
    named = escape.format(outside=outside)
    cub = tmp_path / "cub200" / "CUB_200_2011"
    (cub / "images" / "a").mkdir(parents=True)
    (cub / "images" / "a" / "1.png").write_bytes(PNG)
    (cub / "images.txt").write_text(f"1 a/1.png\n2 {named if named[0] == '/' else '../' + named}\n")
    (cub / "image_class_labels.txt").write_text("1 1\n2 1\n")
    (cub / "train_test_split.txt").write_text("1 1\n2 0\n")
    with pytest.raises(UserError, match="outside"):
        open_data(DataSpec(name="cub200", image_size=8), tmp_path)
    for split in ("train", "test"):
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        rows = [{"bytes": None, "path": named}, {"bytes": PNG, "path": "b.png"}]
        table = pa.table({"image": pa.array(rows, kind), "label": [0, 1]})
        folder = tmp_path / "mine"
        folder.mkdir(exist_ok=True)
        pq.write_table(table, folder / f"{split}.parquet")
    with pytest.raises(UserError, match="lies outside of it"):
        open_data(DataSpec(name=f"parquet:{folder}", image_size=8))
