"""`python -m levelfield.native build` compiles the library; without a compiler it says so."""

from __future__ import annotations

import sys

from levelfield.errors import UserError
from levelfield.native import build, library_path


def main(arguments: list[str]) -> int:
    if arguments != ["build"]:
        print("usage: python -m levelfield.native build", file=sys.stderr)
        return 2
    there = library_path().exists()
    try:
        path = build()
    except (UserError, OSError) as error:
        print(f"note: {error}", file=sys.stderr)
        return 0
    print(f"{'already built' if there else 'built'}: {path}")
    return 0


sys.exit(main(sys.argv[1:]))
