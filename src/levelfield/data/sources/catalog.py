"""What is known about each named data set: counts, statistics, leaks, terms and where it officially lives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

IMAGENET_OVERLAP: Final = (
    "overlaps ImageNet (images of its test set are among ImageNet's training images): "
    "results that start from ImageNet weights are flattered"
)


@dataclass(frozen=True)
class Download:
    """One file at its official address. `md5`: as cited by the data set's home or None (then recorded at first use)."""

    url: str
    md5: str | None = None
    mib: int | None = None

    @property
    def file(self) -> str:
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Dataset:
    """The facts of one data set.

    `train`, `test`: official counts of images. `checksum`: of the official content (`store.content_identity`), None
    where none is on record. `folders`: further folder names under which it is found. `manual`: what to put where, if
    its licence wants a manual download.
    """

    name: str
    title: str
    classes: int
    train: int
    test: int
    pixels: str
    home: str
    terms: str
    checksum: str | None = None
    folders: tuple[str, ...] = ()
    downloads: tuple[Download, ...] = ()
    manual: str | None = None
    notes: tuple[str, ...] = ()


def _cifar(
    classes: int, title: str, md5: str, mib: int, checksum: str, folders: tuple[str, ...], notes: tuple[str, ...] = ()
) -> Dataset:
    home = "https://www.cs.toronto.edu/~kriz"
    terms = "no formal licence; cite Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"
    archive = Download(f"{home}/cifar-{classes}-python.tar.gz", md5, mib)
    return Dataset(
        f"cifar{classes}", title, classes, 50_000, 10_000, "32x32", f"{home}/cifar.html", terms,
        checksum, folders, (archive,), notes=notes,
    )  # fmt: skip


DATASETS: Final = (
    Dataset(
        "digits", "scikit-learn's handwritten digits", 10, 1_348, 449, "8x8",
        "https://archive.ics.uci.edu/dataset/80", "CC BY 4.0 (Alpaydin and Kaynak, 1998)",
        checksum="eb3a6c96c072a6e785ec4a77f6d9e8661fa2348fc25f2716d115ef84b52457a2",
    ),
    _cifar(
        10, "CIFAR-10", md5="c58f30108f718f92721af3b95e74349a", mib=163,
        checksum="b8757943b0ce541f644cb328ad2cdcf2e0095e6e30add244dfb4510ea0bd0b3c",
        folders=("cifar-10-batches-py", "cifar-10-batches-bin"),
    ),
    _cifar(
        100, "CIFAR-100, fine labels", md5="eb9058c3a382ffc7106e4002c42a8d85", mib=162,
        checksum="30f8f61f9ac41619f704ee8175e23ae42946a2f4556408bc5216fa4d92278ec1",
        folders=("cifar-100-python", "cifar-100-binary"),
        notes=("10 images are in both train and test, as in the official set",),
    ),
    Dataset(
        "tiny_imagenet", "Tiny ImageNet, its labelled validation images as the test set", 200, 100_000, 10_000, "64x64",
        "http://cs231n.stanford.edu/", "ImageNet's terms of access: non-commercial research and education",
        folders=("tiny-imagenet-200",),
        downloads=(
            Download("http://cs231n.stanford.edu/tiny-imagenet-200.zip", "90528d7ca1a48142e341f4ef8d21d0de", 237),
        ),
        notes=("its images are from ImageNet: results that start from ImageNet weights are flattered",),
    ),
    Dataset(
        "imagenet1k", "ImageNet (ILSVRC 2012), its validation images as the test set", 1000, 1_281_167, 50_000,
        "photographs", "https://image-net.org/download.php",
        "ImageNet's terms of access: non-commercial research and education",
        folders=("imagenet", "ILSVRC2012", "imagenet-1k"),
        manual=(
            "its terms want an account: download ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar, extract them to "
            "class folders (imagenet1k/train/n01440764/..., imagenet1k/val/n01440764/...) in your data folder"
        ),
        notes=("results that start from ImageNet weights have seen its training images",),
    ),
    Dataset(
        "cub200", "Caltech-UCSD Birds-200-2011", 200, 5_994, 5_794, "photographs",
        "https://www.vision.caltech.edu/datasets/cub_200_2011/",
        "non-commercial research and education; images belong to their owners (Wah et al., CNS-TR-2011-001)",
        folders=("CUB_200_2011",),
        downloads=(
            Download("https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
                     "97eceeb196236b17998738112f37df78", 1_096),
        ),
        notes=(IMAGENET_OVERLAP,),
    ),
    Dataset(
        "stanford_dogs", "Stanford Dogs", 120, 12_000, 8_580, "photographs",
        "http://vision.stanford.edu/aditya86/ImageNetDogs/",
        "images are from ImageNet: non-commercial research and education (Khosla et al., 2011)",
        folders=("StanfordDogs",),
        downloads=(
            Download("http://vision.stanford.edu/aditya86/ImageNetDogs/images.tar",
                     "1bb1f2a596ae7057f99d7d75860002ef", 757),
            Download("http://vision.stanford.edu/aditya86/ImageNetDogs/lists.tar",
                     "edbb9f16854ec66506b5f09b583e0656", 1),
        ),
        notes=(IMAGENET_OVERLAP,),
    ),
)  # fmt: skip

BY_NAME: Final = {entry.name: entry for entry in DATASETS}
BY_CHECKSUM: Final = {entry.checksum: entry for entry in DATASETS if entry.checksum}

_SUBSETS: Final = {"cub": "cub200", "tinyimagenet": "tiny_imagenet"}
"""Names that, with a number of classes behind them (`cub-20`), mean a subset of a known set."""


def key(name: str) -> str:
    """The form in which names are compared: lower case, without `-`, `_`, `.` and spaces."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def entry(name: str) -> Dataset | None:
    """The known data set that `name` means (`CIFAR-10`, `cifar_10`, `cifar10`), or None."""
    wanted = key(name)
    for dataset in DATASETS:
        if wanted in {key(dataset.name), *(key(folder) for folder in dataset.folders)}:
            return dataset
    return None


def notes(name: str) -> tuple[str, ...]:
    """Known leaks of the set, or of the set that this one is a subset of by its name (`cub-20`)."""
    if (known := entry(name)) is not None:
        return known.notes
    whole = _SUBSETS.get(key(name).rstrip("0123456789"))
    return BY_NAME[whole].notes if whole else ()
