"""`levelfield data clean`: decoded images that nothing reads any more."""

from __future__ import annotations

from typing import Annotated

import typer

from levelfield.cli.options import Json
from levelfield.cli.output import console, print_json
from levelfield.units import size


def clean(
    all_: Annotated[
        bool, typer.Option("--all", help="Every decoded set but for those that could not be decoded again.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Remove decoded images from the cache: of data sets that have changed or gone, or (`--all`) of all of them.

    Your images are not touched, and what is removed is decoded again where it is needed. With `--json` it says what
    there is, and removes only with `--yes`. Example: `levelfield data clean`
    """
    from levelfield.data.store.store import stores_folder
    from levelfield.data.store.stores_in_cache import remove, stored_sets
    from levelfield.tables.lists_in_words import counted

    kept = stored_sets()
    chosen = [each for each in kept if each.stale or (all_ and not each.only_copy)]
    if json:
        freed = remove(chosen) if yes else 0.0
        sets = [
            {"name": each.name, "folder": str(each.folder), "mib": each.mib, "stale": each.stale or None,
             "chosen": each in chosen}
            for each in kept
        ]  # fmt: skip
        print_json("data clean", {"folder": str(stores_folder()), "sets": sets, "freed_mib": freed})
        return
    for each in chosen:
        why = each.stale or "it would be decoded again"
        console.print(f"{each.folder}  {size(each.mib)}  ({why})", markup=False, highlight=False, soft_wrap=True)
    if not chosen:
        holds = f"{counted(len(kept), 'decoded set')}, {size(sum(each.mib for each in kept))}"
        console.print(f"nothing to remove in {stores_folder()}: {holds}, all of use", highlight=False, markup=False)
        return
    if not yes and not typer.confirm(f"Remove {size(sum(each.mib for each in chosen))}?", default=False, err=True):
        raise typer.Exit(0)
    console.print(f"{size(remove(chosen))} freed", highlight=False)
