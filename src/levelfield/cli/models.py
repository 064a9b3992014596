"""`levelfield models`: what can be trained, what it costs, and how a timm model is fitted to small images."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from levelfield.cli.options import Json, Plugins
from levelfield.cli.output import console, print_json


def models(
    patterns: Annotated[
        list[str] | None,
        typer.Argument(help="Names or patterns: `outgrid_*`, `timm:resnet*`. None: all.", metavar="NAME ..."),
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
    from levelfield.errors import UserError, unknown
    from levelfield.models import list_models, load_plugin

    for path in plugin or []:
        load_plugin(path)
    names: list[str] = []
    for pattern in patterns or ["*"]:
        if not any(character in pattern for character in "*?["):
            names.append(pattern)
            continue
        if not (found := list_models(pattern)):
            known = list_models("timm:*" if pattern.startswith("timm:") else "*")
            raise unknown(
                "model pattern", pattern, known, "`levelfield models` lists all; timm's are named timm:<name>"
            )
        names += found
    if explain:
        if len(names) != 1:
            raise UserError(f"--explain takes one model, got {len(names)}; name one, as in timm:resnet34")
        _print_explanation(names[0], classes, image_size, json)
        return
    rows = [_describe(name, classes, image_size) for name in dict.fromkeys(names)]
    if json:
        print_json(rows)
        return
    table = Table("model", "family", "classes", "px", "parameters", "MACs (M)", "published as")
    table.columns[0].no_wrap = True
    for column in table.columns[2:6]:
        column.justify = "right"
    for row in rows:
        table.add_row(
            row["name"], row["family"], str(row["num_classes"]), str(row["image_size"]), f"{row['params']:,}",
            f"{row['macs'] / 1e6:,.1f}", row["published"].get("alias", ""),
        )  # fmt: skip
    console.print(table)


def _describe(name: str, classes: int | None, image_size: int | None) -> dict[str, Any]:
    """One model's row, counted on what would be built: on the meta device, but on the CPU where it may compute with
    values while it is built (plugins, timm)."""
    from levelfield.cost import count_macs, count_parameters
    from levelfield.models import create_model, model_info, on_meta

    info = model_info(name)
    side_px = image_size or info.image_size
    build = create_model if name.startswith("timm:") or info.plugin is not None else on_meta
    model = build(name, classes, image_size)
    return {
        "name": name,
        "family": info.family,
        "params": count_parameters(model).total,
        "macs": count_macs(model, side_px).total,
        "num_classes": classes or info.num_classes,
        "image_size": side_px,
        "published": dict(info.published),
    }


def _print_explanation(name: str, classes: int | None, image_size: int | None, json: bool) -> None:
    from levelfield.models import explain
    from levelfield.models.idle_operators import in_words

    explanation = explain(name, classes, image_size)
    if json:
        print_json(explanation.as_dict())
        return
    console.print(f"{name} at {explanation.image_size} px", style="bold", markup=False)
    if not explanation.changes:
        console.print("nothing changed")
    for change in explanation.changes:
        console.print(f"- {change.what}: {change.why}", markup=False, highlight=False)
    table = Table("stage", "output")
    for stage, shape in explanation.maps:
        table.add_row(stage, shape)
    console.print(table)
    if explanation.note:
        console.print(f"note: {explanation.note}", markup=False, highlight=False, soft_wrap=True)
    for line in in_words(explanation.degenerate):
        console.print(f"at {explanation.image_size} px {line}", markup=False, highlight=False, soft_wrap=True)
