"""`levelfield hub`: runs shared on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from levelfield.cli.options import Json
from levelfield.cli.output import console, print_json
from levelfield.cli.what_was_meant import run_meant
from levelfield.units import size

app = typer.Typer(no_args_is_help=True, help="Share finished runs on the Hugging Face Hub.")


@app.command("push")
def push(
    run: Annotated[Path, typer.Argument(help="A run folder that `levelfield train` or a study wrote.")],
    repo: Annotated[str, typer.Argument(help="The repository, OWNER/NAME; it is made where it is not there.")],
    private: Annotated[
        bool | None, typer.Option("--private/--public", help="Who sees it, where it is made.", show_default=False)
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="Licence of the weights, as Hugging Face names it (mit).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the repository's files there, and send nothing.")
    ] = None,
    json: Json = False,
) -> None:
    """Push a finished run: weights, configuration, preprocessing, results and a model card, as one commit.

    Example: `levelfield hub push runs/first you/birds --private`
    """
    from levelfield.spec.hub_source import repository

    repository(repo)
    run = run_meant(run)

    from levelfield.exports.hub_repository import push_run, write_repository

    if out is None:
        found = push_run(run, repo, private=private, licence=licence)
    else:
        found = write_repository(run, repo, out, licence=licence)
    if json:
        print_json("hub push", {"run": str(run), "out": None if out is None else str(out), **found})
    else:
        _print(found, out)


def _print(found: dict[str, Any], out: Path | None) -> None:
    total = size(sum(each["bytes"] for each in found["files"]) / 2**20)
    if out is None:
        lines = [f"pushed: {found['source']}, {total}", f'read it: levelfield.load_run("hub:{found["repo"]}")']
    else:
        lines = [f"written, not sent: {out}, {total}"]
    if found["timm"]:
        lines.append(f'timm too: timm.create_model("hf-hub:{found["repo"]}", pretrained=True)')
    else:
        lines.append(f"not by timm: {found['timm_why_not']}")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
