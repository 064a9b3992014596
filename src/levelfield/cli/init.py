"""`levelfield init`: a first study of one's own data and networks, as a commented file."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from levelfield.cli.completion import data_sets, models, recipes
from levelfield.cli.options import DataDir, Json, Plugins
from levelfield.cli.output import messages, print_json
from levelfield.errors import UserError

if TYPE_CHECKING:
    from levelfield.data.checks.quick_look import QuickLook
    from levelfield.studies.declared.first_study import FirstStudy

T = TypeVar("T")
FEW: Final = 20
"""Training images of a class below which a class is called small."""
SMALLEST_PX: Final = 32
"""Sides up to this are usual for the smallest images, too."""
MANY: Final = 100
"""More runs than these are seldom meant."""
Images = Annotated[
    str | None,
    typer.Option(
        help="A folder of class folders or Parquet, or a name from `levelfield data list`.",
        autocompletion=data_sets,
    ),
]
Networks = Annotated[
    list[str] | None,
    typer.Option(help="Your network (`levelfield models`); may be repeated. [default: three]", autocompletion=models),
]
File = Annotated[Path | None, typer.Argument(help="The study file to write. [default: DATA.yaml]")]


def init(
    file: File = None,
    data: Images = None,
    model: Networks = None,
    baselines: Annotated[bool, typer.Option(help="Add built-in networks of about its size to compare with.")] = True,
    image_size: Annotated[int | None, typer.Option(min=1, help="Side of the images in px. [default: as fits]")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="A recipe's name or file. [default: as fits the data]", autocompletion=recipes)
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Length of each run. [default: as fits the data]")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each network.")] = 3,
    data_dir: DataDir = None,
    plugin: Plugins = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing, and overwrite.")] = False,
    json: Json = False,
) -> None:
    """Write a study file for your data and networks, and say the command that runs it. On a terminal it asks.

    Looks at the data first (classes, counts, sizes) and suggests image size, recipe, length and baselines by size.
    Example: `levelfield init birds.yaml --data ~/pictures/birds --model resnet_mini`
    """
    _check(file, model or [], recipe, plugin or [])
    asks = sys.stdin.isatty() and not yes
    if not (asks or yes or file is None):
        _keep(file)
    look = _look(data, data_dir, asks)
    _say(look)
    if model is None and asks:
        question = "Your networks, separated by commas (empty: three small ones)"
        model = _asked(question, "", lambda said: _networks(said, plugin or []))
    path = file or Path(f"{_stem(look.name)}.yaml")
    text = _text(path, look, model or [], baselines, image_size, recipe, epochs, seeds, plugin or [])
    if not yes and not (asks and path.exists() and typer.confirm(f"{path} exists. Overwrite it?", err=True)):
        _keep(path)

    from levelfield.runs import write_text

    write_text(path, text)
    schema = _schema_beside(path)
    options = "".join(f" --plugin {quote(name)}" for name in plugin or [])
    options += (
        f" --data-dir {quote(data_dir)}" if data_dir and not look.name.startswith(("folder:", "parquet:")) else ""
    )
    commands = [f"levelfield study run {quote(str(path))}{scale}{options}" for scale in (" --scale smoke", "")]
    if json:
        print_json("init", {"file": str(path), "data": vars(look), "commands": commands})
        return
    beside = f"{schema} beside it, by which editors complete and check it"
    messages.print(f"written: {path}, and {beside}", highlight=False, soft_wrap=True)
    messages.print("see that every row can be trained, in seconds, then run it:", highlight=False)
    for command in commands:
        typer.echo(command)


def _look(data: str | None, data_dir: str | None, asks: bool) -> QuickLook:
    """A look at the images that are named, or asked for."""
    from levelfield.data.checks.quick_look import quick_look

    if data is not None:
        return quick_look(_named(data), data_dir)
    if not asks:
        raise UserError("--data missing: say which images, e.g. levelfield init --data ~/pictures/birds")
    question = "Images: a folder of class folders, or a name of `levelfield data list`"
    return _asked(question, None, lambda said: quick_look(_named(said), data_dir))


def _check(file: Path | None, models: list[str], recipe: str | None, plugins: list[str]) -> None:
    """Raise UserError for what is wrong whatever the images are: they are looked at later."""
    from levelfield.spec.recipe import load_recipe
    from levelfield.studies.declared.expand_rows import check_model

    if file is not None and file.suffix not in (".yaml", ".yml"):
        raise UserError(f"{file} would be no study file: let its name end in .yaml")
    for name in models:
        check_model(name, plugins)
    if recipe is not None:
        load_recipe(recipe)


def _keep(path: Path) -> None:
    """Raise UserError where the file is there: nobody has said that it may be overwritten."""
    if path.exists():
        raise UserError(f"{path} exists and was left as it is: name another file, or add --yes to overwrite it")


def _asked(question: str, default: str | None, read: Callable[[str], T]) -> T:
    """What `read` makes of the answer to a question, which is asked again, with what is wrong, until it takes one."""
    while True:
        said = str(typer.prompt(question, default=default, err=True))
        try:
            return read(said)
        except UserError as error:
            messages.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)


def _networks(said: str, plugins: list[str]) -> list[str]:
    """The names in an answer, separated by commas. Raises UserError for what is no network."""
    from levelfield.studies.declared.expand_rows import check_model

    names = [name.strip() for name in said.split(",") if name.strip()]
    for name in names:
        check_model(name, plugins)
    return names


def _schema_beside(study: Path) -> str:
    """Write the JSON Schema that the study's first line names beside it, unless a file of another kind is there."""
    from levelfield.runs import write_text
    from levelfield.schemas import schema_text
    from levelfield.studies.declared.first_study import SCHEMA

    path, text = study.parent / SCHEMA, schema_text("study")
    if not path.exists() or '"title": "levelfield study"' in path.read_text(encoding="utf-8", errors="replace"):
        write_text(path, text)
    return SCHEMA


def _named(data: str) -> str:
    """`data` as a study names it: a path by what lies there."""
    path = Path(data).expanduser()
    if data.startswith(("folder:", "parquet:")) or not path.is_dir():
        return data  # a colon is part of every path on Windows
    from levelfield.data.sources.readers import parquet

    return f"{'parquet' if parquet.shards(path) else 'folder'}:{path.resolve()}"


def _stem(name: str) -> str:
    """What a study of the data set `name` may be called."""
    signs = (letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in _last(name))
    kept = "".join(signs)
    return kept.strip("._-") or "study"


def _last(name: str) -> str:
    """What people call the data set `name`: of a path the last part."""
    return re.split(r"[/\\:]", name)[-1]


def _say(look: QuickLook) -> None:
    """What was seen of the data, and what should make one look again."""
    per_class = f"{look.fewest:,}" if look.fewest == look.most else f"{look.fewest:,} to {look.most:,}"
    sides = f"{look.smallest_px:,} to {look.largest_px:,} px, median" if look.smallest_px < look.largest_px else "all"
    lines = [
        f"{look.name}: {look.form}, {look.classes:,} classes, {look.train:,} training images ({per_class} a class), "
        f"{look.test:,} test images",
        f"shorter side of {look.looked_at:,} images looked at: {sides} {look.side_px:,} px",
    ]
    lines += [f"note: {note}" for note in look.notes]
    if look.unreadable:
        lines.append(
            f"{look.unreadable} of {look.looked_at} images looked at cannot be opened, which the counts include; "
            "the file says on_bad_image: skip, so they are left out. "
            f"levelfield data check {quote(look.name)} names them"
        )
    if look.fewest < FEW or look.most > 10 * look.fewest:
        lines.append("classes are small or unequal: top-1 then tells of the large ones, and seeds vary more")
    for line in lines:
        messages.print(line, highlight=False, markup=False, soft_wrap=True)


def _text(
    path: Path, look: QuickLook, own: list[str], baselines: bool, image_size: int | None, recipe: str | None,
    epochs: int | None, seeds: int, plugins: list[str],
) -> str:  # fmt: skip
    """The file's text, read once as `study run` will. Raises UserError for what could not be run."""
    from levelfield.spec.yaml_files import parse_yaml
    from levelfield.studies.declared import first_study as first
    from levelfield.studies.declared.expand_rows import single_rows
    from levelfield.studies.declared.study import StudySpec
    from levelfield.studies.declared.study_file import anchored

    side = image_size or first.suggest_side(look, gpu=shutil.which("nvidia-smi") is not None)
    sizes = {name: _parameters(name, look.classes, side) for name in own}
    models = (*own, *(first.suggest_baselines(sizes) if baselines or not own else ()))
    length, batch = first.suggest_length(look)
    chosen = recipe or first.suggest_recipe(look)
    study = first.FirstStudy(
        _last(look.name), look, side, _from_beside(path, chosen), batch if recipe is None else None, epochs or length,
        seeds, models, next((name for name in models if name not in own), models[0]), tuple(own),
    )  # fmt: skip
    _say_what_is_large(study)
    text = first.study_text(study)
    values = anchored(parse_yaml(text, str(path)), path.parent)
    read = StudySpec.parse({"name": path.stem, **values}, str(path))
    single_rows(read, read, plugins)
    return text


def _from_beside(study: Path, recipe: str) -> str:
    """`recipe` as the study's file names it: a file by the way that leads to it from there."""
    if not recipe.endswith((".yaml", ".yml")):
        return recipe
    file = Path(recipe).resolve()
    try:
        return Path(os.path.relpath(file, study.resolve().parent)).as_posix()
    except ValueError:  # another drive of Windows
        return str(file)


def _say_what_is_large(study: FirstStudy) -> None:
    """What was asked for and can be run, but is hardly meant."""
    runs = study.seeds * len(study.models)
    lines = []
    if study.image_size > max(study.look.largest_px, SMALLEST_PX):
        lines.append(f"images of at most {study.look.largest_px:,} px are enlarged to {study.image_size:,} px")
    if runs > MANY:
        lines.append(f"that is {runs:,} runs, {study.seeds:,} of each network: five to ten tell most differences")
    for line in lines:
        messages.print(f"note: {line}", highlight=False, markup=False, soft_wrap=True)


def _parameters(name: str, classes: int, side: int) -> int | None:
    """How many parameters a network has, as recorded, else counted as it would be built."""
    from levelfield.known_models import built_in

    if name in built_in():
        return built_in()[name].params
    from levelfield.cost import count_parameters
    from levelfield.models import create_model

    return count_parameters(create_model(name, classes, side)).total
