"""`levelfield data`: list, get, import, check, show and clean data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from levelfield.cli.completion import data_sets, recipes
from levelfield.cli.data_clean import clean
from levelfield.cli.options import DataDir, Json
from levelfield.cli.output import console, messages, print_json, show_table
from levelfield.errors import UserError
from levelfield.progress import on_stderr
from levelfield.units import size, wrap

if TYPE_CHECKING:
    from levelfield.data.checks.dataset_check import Report

COUNTS = ("classes", "train", "test")

app = typer.Typer(help="List, get, import, check and show data sets, and clean up after them.", no_args_is_help=True)

Name = Annotated[
    str,
    typer.Argument(help="A name from `levelfield data list`, folder:PATH or parquet:PATH.", autocompletion=data_sets),
]


@app.command("list")
def list_(data_dir: DataDir = None, json: Json = False) -> None:
    """List the data sets that are known, and where each was found.

    Example: `levelfield data list`
    """
    from levelfield.data.sources import catalog
    from levelfield.data.sources.locate import available

    places = available(data_dir)
    entries = []
    for name, place in places.items():
        known = catalog.BY_NAME.get(name)
        facts = {key: getattr(known, key, None) for key in ("classes", "train", "test", "pixels")}
        entries.append({"name": name, "title": known.title if known else "your own", **facts, "found": place})
    if json:
        print_json("data list", {"data": entries})
        return
    rows = []
    for entry in entries:
        numbers = ["" if entry[key] is None else f"{entry[key]:,}" for key in COUNTS]
        where = "no: levelfield data get" if entry["found"] is None else str(entry["found"])
        if entry["found"] is None and (known := catalog.BY_NAME.get(str(entry["name"]))) and known.manual:
            where = f"no: see {known.home.split('/')[2]}"
        rows.append([str(entry["name"]), *numbers, str(entry["pixels"] or ""), where])
    show_table(("data set", *COUNTS, "pixels", "found"), rows, numbers=COUNTS)


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="A name from `levelfield data list`.", autocompletion=data_sets)],
    to: Annotated[Path | None, typer.Option(help="Folder for the archive. [default: the cache folder]")] = None,
    data_dir: DataDir = None,
) -> None:
    """Download a data set from its official address (resumable, verified) and import it.

    Example: `levelfield data get cifar10`
    """
    from levelfield.data.sources import catalog
    from levelfield.data.sources.download import get as download
    from levelfield.data.sources.locate import downloads, find
    from levelfield.errors import unknown

    known = catalog.entry(name)
    if known is None:
        raise unknown("data set", name, catalog.BY_NAME)
    from levelfield.data.loading.open_data import prepare

    if known.downloads:
        try:
            messages.print(f"{known.name} is there already: {find(known.name, data_dir).path}", highlight=False)
            return
        except UserError:
            mib = sum(file.mib or 0 for file in known.downloads)
            messages.print(f"{known.title}: {size(mib)} from {known.home}\nterms: {known.terms}", highlight=False)
    folder = (to or downloads()) / known.name
    with on_stderr() as progress:
        for line in download(known, folder, progress):
            messages.print(line, highlight=False)
        store = prepare(find(known.name, folder.parent), progress=progress)
    messages.print(f"{known.name} is ready: {folder} (decoded: {store.folder})", highlight=False, soft_wrap=True)
    if to is not None:
        messages.print(f"name the folder when you use it: --data-dir {to}", highlight=False, soft_wrap=True)


@app.command("import")
def import_(
    name: Annotated[str, typer.Argument(help="The name to use it by from now on.")],
    from_: Annotated[Path, typer.Option("--from", help="A folder or an official archive, in any known form.")],
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Store the images at this side in px too. [default: only as they are]")
    ] = None,
    fit: Annotated[str, typer.Option(help="How they become that: resize, pad or crop.")] = "resize",
    on_bad_image: Annotated[str, typer.Option(help="fail, or skip: leave out what does not decode.")] = "fail",
) -> None:
    """Decode a data set once into the cache, and remember it by its name.

    Images of one size are stored as they are, photographs of many sizes once a size is asked for.

    Example: `levelfield data import birds --from ~/pictures/birds --image-size 64`
    """
    from levelfield.data.sources import catalog

    if on_bad_image not in ("fail", "skip"):
        raise UserError(f"--on-bad-image {on_bad_image}: give fail or skip")
    if fit not in ("resize", "pad", "crop"):
        raise UserError(f"--fit {fit}: give resize, pad or crop")
    if not from_.exists():
        raise UserError(f"--from {from_}: no such file or folder")
    if not name or any(letter in name for letter in "/\\:"):
        raise UserError(f"a data set cannot be named {name!r}: leave out /, \\ and :")
    known = catalog.entry(name)
    name = known.name if known is not None else name
    if name == "digits":
        raise UserError("digits is built in, and that name would go on standing for it: give another name")

    from levelfield.data.loading.open_data import prepare
    from levelfield.data.sources.locate import remember
    from levelfield.data.sources.recognise_format import recognise
    from levelfield.data.store.resize import Fit

    wanted = None if image_size is None else Fit(fit, image_size)  # type: ignore[arg-type]
    found = recognise(from_.resolve(), name)
    if found is None:
        raise UserError(
            f"--from {from_}: no data set in a known form\n"
            "expected class folders, Parquet, or an official archive or folder (see docs/how-to/data.md)"
        )
    with on_stderr() as progress:
        store = prepare(found, "skip" if on_bad_image == "skip" else "fail", wanted, progress=progress)
    remember(name, found)
    index = store.index
    messages.print(
        f"{name}: {index.splits['train'].count:,} train and {index.splits['test'].count:,} test images of "
        f"{len(index.classes)} classes ({found.form}) -> {store.folder}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip


@app.command()
def check(
    name: Name,
    data_dir: DataDir = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Decode everything again.")] = False,
    json: Json = False,
) -> None:
    """Report counts, images that do not decode, sizes, duplicates, statistics, and whether the content is official.

    Example: `levelfield data check digits`
    """
    from dataclasses import asdict

    from levelfield.data.sources.locate import find

    find(name, data_dir)  # before torch is loaded: a name that is none is answered at once
    from levelfield.data.checks.dataset_check import check_data

    with on_stderr() as progress:
        report = check_data(name, data_dir, fresh=fresh, progress=progress)
    if json:
        print_json("data check", asdict(report))
    else:
        _print_report(report)


def _print_report(report: Report) -> None:
    from levelfield.data.checks.dataset_check import SHOWN, unbalanced
    from levelfield.tables.lists_in_words import counted

    width = max(12, len(report.name) + 2)

    def line(what: str, text: str) -> None:
        lines = [text] if console.wide else wrap(text, console.width - width)
        for number, part in enumerate(lines):
            console.print(f"{what if number == 0 else '':<{width}}{part}", markup=False)

    line(report.name, f"{len(report.classes)} classes, {report.form}" + (f", {report.path}" if report.path else ""))
    for name, split in report.splits.items():
        line(f"  {name}", f"{split.count:,} images, {unbalanced(split)} per class")
        sizes = list(split.sizes.items())
        shown = ", ".join(f"{size} ({count:,})" for size, count in sizes[:3])
        line("", f"sizes {shown}" + (f" and {len(sizes) - 3:,} others" if len(sizes) > 3 else ""))
        line("", "modes " + ", ".join(f"{mode} ({count:,})" for mode, count in split.modes.items()))
        line("", "mean {:.4f} {:.4f} {:.4f}  ".format(*split.mean) + "std {:.4f} {:.4f} {:.4f}".format(*split.std))
        for file, reason in split.bad[:SHOWN]:
            line("", f"BAD {file}: {reason}")
        if len(split.bad) > SHOWN:
            line("", f"BAD ... and {len(split.bad) - SHOWN:,} more (all of them with --json)")
    found = report.duplicates
    inside = ", ".join(
        f"{counted(count, 'surplus copy', 'surplus copies')} in {name}" for name, count in found.surplus.items()
    )
    both = counted(found.across, "image")
    line("duplicates", f"{inside}; {both} in both splits; {found.conflicting:,} under several labels")
    for same in report.copies[:SHOWN]:
        line("", "SAME " + " = ".join(f"{split} {file}" for split, file in same))
    if len(report.copies) > SHOWN:
        line("", f"SAME ... and {len(report.copies) - SHOWN:,} more (all of them with --json)")
    line("content", report.verdict)
    line("checksum", report.checksum)
    for note in report.notes:
        if not note.startswith("other data"):  # the verdict has said it
            line("note", note)


@app.command()
def show(
    name: Name,
    out: Annotated[Path | None, typer.Option(help="The PNG to write. [default: NAME.png]")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Show samples as this recipe augments and mixes them.", autocompletion=recipes)
    ] = None,
    split: Annotated[str, typer.Option(help="train or test.")] = "train",
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many images.")] = 48,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Side in px. [default: the stored one, else 128]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Which images, and which draws of the recipe.")] = 0,
    data_dir: DataDir = None,
) -> None:
    """Draw a contact sheet of a data set; with `--recipe`, of what the model sees in training.

    Example: `levelfield data show digits --recipe cpu-fast --out digits.png`
    """
    from levelfield.data.sources.locate import find
    from levelfield.spec import DataSpec, load_recipe

    if split not in ("train", "test"):
        raise UserError(f"--split {split}: give train or test")
    chosen = None if recipe is None else load_recipe(recipe).recipe
    if chosen is not None and split == "test":
        raise UserError("--recipe changes training images only; leave out --split test")
    found = find(name, data_dir)
    from levelfield.data.checks import contact_sheet
    from levelfield.data.checks.dataset_check import store_of_readable
    from levelfield.data.loading.open_data import open_data
    from levelfield.data.sources.done_to_data import left_out

    with on_stderr() as progress:
        store = store_of_readable(found, progress=progress)
        bad = sum(len(part.bad) for part in store.index.splits.values())
        side = image_size or store.index.native_px or 128
        crop = None if chosen is None else chosen.augment.crop
        spec = DataSpec(name=name, image_size=side, on_bad_image="skip" if bad else "fail")
        data = open_data(spec, data_dir, crop=crop, progress=progress)
    if bad:
        messages.print(f"{left_out(bad)}: levelfield data check {name} names them", highlight=False, soft_wrap=True)
    if chosen is None:
        picture = contact_sheet.plain_samples(data, data.train if split == "train" else data.test, count, seed)
    else:
        picture = contact_sheet.augmented_samples(data, chosen, side, count, seed)
    path = out or Path(f"{data.name}.png")
    try:
        contact_sheet.save(picture, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}\nname another file with --out") from None
    messages.print(f"{path}: {picture.width} x {picture.height} px", highlight=False, soft_wrap=True)


app.command("clean")(clean)
