"""Where a command writes: results to stdout, everything else to stderr; `--json` leaves nothing but JSON on stdout.

On a terminal lines are wrapped at words to its width, and a word that is longer (a path) stays whole. Elsewhere nothing
is wrapped or coloured: what reads it has no width. NO_COLOR and FORCE_COLOR are honoured.
"""

from __future__ import annotations

import codecs
import io
import json
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, Final, TextIO

import typer
from rich.console import Console, ConsoleDimensions
from rich.text import Text

from levelfield.cli.json_versions import JSON_VERSIONS, VERSION_KEY
from levelfield.plain_table import table_lines, without_codes

UNBOUNDED: Final = 1_000_000
"""Columns of what is no terminal: no line is ever so long."""


class _Console(Console):
    """Rich's, with a width only on terminals, and without the cutting of long words. Brackets and colons are letters:
    paths and names of rows may hold them, and Rich would take some for marks of its own."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)
        self._width = None  # Rich takes COLUMNS for it, which is a terminal's

    @property
    def wide(self) -> bool:
        """Whether nothing limits a line's width: no terminal, and nobody has set one."""
        return self._width is None and not self.file.isatty()

    @property
    def size(self) -> ConsoleDimensions:
        return ConsoleDimensions(UNBOUNDED, 25) if self.wide else super().size

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        raise NotImplementedError("the terminal's own size holds")

    def print(self, *objects: Any, soft_wrap: bool | None = None, **how: Any) -> None:
        objects = tuple(without_codes(each) if isinstance(each, str) else each for each in objects)
        words = " ".join(str(each) for each in objects if isinstance(each, str | Text)).split()
        super().print(*objects, soft_wrap=any(len(word) > self.width for word in words), **how)


IN_ASCII: Final = {
    "−": "-",
    "–": "-",
    "—": "-",
    "×": "x",
    "±": "+-",
    "…": "...",
    "’": "'",
    "·": "*",
    "≤": "<=",
    "≥": ">=",
}
"""What stands for a character that an encoding lacks; of any other a question mark does."""


def writable_in_any_encoding(stream: TextIO) -> None:
    """Let what `stream`'s encoding lacks (a pipe on Windows, an ASCII locale) be written as the nearest it has."""

    def nearest(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        return "".join(IN_ASCII.get(each, "?") for each in error.object[error.start : error.end]), error.end

    codecs.register_error("levelfield", nearest)
    if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
        stream.reconfigure(errors="levelfield")


console: Final = _Console()
"""Results for a person (tables)."""

messages: Final = _Console(stderr=True)
"""Progress, notes, warnings and errors."""


def headline(*parts: str) -> None:
    """Print the line that results begin with, its parts in bold and plain by turns."""
    console.print(Text.assemble(*((without_codes(part), ("bold", "")[at % 2]) for at, part in enumerate(parts))))


def show_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[str] = (), title: str = ""
) -> None:
    """Print a table of plain words that fits the terminal; `numbers`: headings of what is aligned right."""
    if title:
        console.print(Text(title, style="bold"))
    heading, lines = table_lines(headings, rows, None if console.wide else console.width, numbers)
    for number, line in enumerate((*heading, *lines)):
        console.print(Text(line, style="bold" if number < len(heading) else ""), no_wrap=True)


def print_data_notes(notes: Iterable[str]) -> None:
    """What belongs beside a result on this data; that one's own data are no official set needs no saying."""
    for note in notes:
        if not note.startswith("other data"):
            console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)


_answers: TextIO | None = None
"""stdout while --json has it to itself."""


def only_json(context: typer.Context, asked: bool) -> bool:
    """The callback of --json: until the command ends `print_json` alone writes to stdout, and whatever else prints
    there (a network of the user's, as it computes) to stderr."""
    if asked and not context.resilient_parsing:
        context.with_resource(_stdout_for_answers())
    return asked


@contextmanager
def _stdout_for_answers() -> Iterator[None]:
    global _answers
    _answers = sys.stdout
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _answers = None


def print_json(command: str, value: Mapping[str, Any]) -> None:
    """Write what `command` answers (plain JSON values) to stdout, indented, under its version of `JSON_VERSIONS`."""
    whole = {VERSION_KEY: JSON_VERSIONS[command], **value}
    answers = _answers or sys.stdout
    encoded = (answers.encoding or "utf-8").lower()  # None of what a caller has put there
    text = json.dumps(whole, indent=2, ensure_ascii=not encoded.startswith("utf"), allow_nan=False)
    answers.write(text + "\n")
    answers.flush()
