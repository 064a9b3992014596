"""`levelfield models`: what can be trained, what it costs, and how a timm model is fitted to small images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from levelfield.cli.completion import models as known
from levelfield.cli.options import Json, Plugins
from levelfield.cli.output import console, print_json, show_table
from levelfield.errors import UserError, unknown
from levelfield.units import short, whole

if TYPE_CHECKING:
    from levelfield.known_models import ModelInfo

WIDE = 100
"""So many columns have room for published names too; JSON has them always."""


def models(
    patterns: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names or patterns: `outgrid_*`, `timm:resnet*`. None: all.", metavar="NAME", autocompletion=known
        ),
    ] = None,
    classes: Annotated[int | None, typer.Option("--classes", min=1, help="Instead of the published number.")] = None,
    image_size: Annotated[
        int | None, typer.Option("--image-size", min=1, help="Side of the input in px, instead of the published one.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what was changed for the image size and why, stage by stage.")
    ] = False,
    json: Json = False,
    plugin: Plugins = None,
) -> None:
    """List models with parameters and MACs (multiply-accumulates of one image), or explain how one is built.

    Example: `levelfield models 'outgrid_*' --classes 100`

    Example: `levelfield models timm:swin_tiny_patch4_window7_224 --image-size 32 --explain`
    """
    if plugin:
        from levelfield.models import load_plugin

        for path in plugin:
            load_plugin(path)
    names = [name for pattern in patterns or ["*"] for name in _names(pattern, plugin or [])]
    if explain:
        if len(names) != 1:
            raise UserError(f"--explain takes one model, got {len(names)}; name one, as in timm:resnet34")
        _print_explanation(names[0], classes, image_size, json)
        return
    rows = [_describe(name, classes, image_size) for name in dict.fromkeys(names)]
    if json:
        print_json("models", {"models": rows})
        return
    _show(rows, aliases=console.width >= WIDE)
    for row in rows:
        if "error" in row:
            console.print(f"{row['name']}: {row['error']}", markup=False, highlight=False, soft_wrap=True)


def _show(rows: list[dict[str, Any]], aliases: bool) -> None:
    """A line for each model; `aliases`: with its name in the published table, for which 80 columns have no room."""
    numbers = ("classes", "px", "parameters", "MACs")
    lines = []
    for row in rows:
        cells = [
            row["name"], row["family"], f"{row['num_classes']:,}", str(row["image_size"]), whole(row["params"]),
            short(row["macs"]), row["published"].get("alias", ""),
        ]  # fmt: skip
        lines.append(cells if aliases else cells[:-1])
    show_table(("model", "family", *numbers, *(("published as",) if aliases else ())), lines, numbers)


def _names(pattern: str, plugins: list[str]) -> list[str]:
    """The models that match a pattern, or the one so named. Raises UserError where there is none."""
    from levelfield.known_models import ELSEWHERE, TIMM, check_name, known_names, matching, timm_names

    if not any(character in pattern for character in "*?["):
        check_name(pattern, plugins)
        return [pattern]
    if not (found := matching(pattern)):
        known = [TIMM + name for name in timm_names()] if pattern.startswith(TIMM) else known_names()
        raise unknown("model pattern", pattern, known, ELSEWHERE)
    return found


def _describe(name: str, classes: int | None, image_size: int | None) -> dict[str, Any]:
    """One model's row. A built-in one's counts at its published setting are on record; others are made by building."""
    from levelfield.known_models import built_in

    if name in built_in():
        info, params, macs = built_in()[name]
        if classes in (None, info.num_classes) and image_size in (None, info.image_size):
            return _row(info, info.num_classes, info.image_size, params, macs)

    from levelfield.models import model_info
    from levelfield.models.users_code import UsersCodeError

    info = model_info(name)
    setting = classes or info.num_classes, image_size or info.image_size
    try:
        return _row(info, *setting, *_counted(info, classes, image_size))
    except UsersCodeError as error:
        return _row(info, *setting, None, None) | {"error": str(error).splitlines()[0]}
    except UserError:
        raise
    except Exception as error:  # code of the user's or timm's: one that fails must not take the list away
        reason = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
        return _row(info, *setting, None, None) | {"error": f"not counted at {setting[1]} px: {reason}"}


def _row(info: ModelInfo, classes: int, side_px: int, params: int | None, macs: int | None) -> dict[str, Any]:
    return {
        "name": info.name,
        "family": info.family,
        "params": params,
        "macs": macs,
        "num_classes": classes,
        "image_size": side_px,
        "published": dict(info.published),
    }


def _counted(info: ModelInfo, classes: int | None, image_size: int | None) -> tuple[int, int]:
    """Parameters and MACs of what would be built: on the meta device, but on the CPU where it may compute with values
    while it is built (plugins, timm)."""
    from levelfield.cost import count_macs, count_parameters
    from levelfield.models import create_model, on_meta
    from levelfield.models.registry import size_misfit

    build = create_model if info.name.startswith("timm:") or info.plugin is not None else on_meta
    model, size = build(info.name, classes, image_size), image_size or info.image_size
    try:
        return count_parameters(model).total, count_macs(model, size).total
    except Exception as error:
        if (told := size_misfit(error, info.name, classes or info.num_classes, size, {})) is None:
            raise
        raise told from error


def _print_explanation(name: str, classes: int | None, image_size: int | None, json: bool) -> None:
    from levelfield.models import explain
    from levelfield.models.idle_operators import in_words

    explanation = explain(name, classes, image_size)
    if json:
        print_json("models", {"explained": explanation.as_dict()})
        return
    console.print(f"{name} at {explanation.image_size} px", style="bold", markup=False)
    if not explanation.changes:
        console.print("nothing changed")
    for change in explanation.changes:
        console.print(f"- {change.what}: {change.why}", markup=False, highlight=False)
    show_table(("stage", "output"), list(explanation.maps))
    if explanation.note:
        console.print(f"note: {explanation.note}", markup=False, highlight=False, soft_wrap=True)
    for line in in_words(explanation.degenerate):
        console.print(f"at {explanation.image_size} px {line}", markup=False, highlight=False, soft_wrap=True)
