"""What every command prints: whole at 80 columns, whole and plain where there is no terminal, in people's numbers."""

from __future__ import annotations

import io
import json
import os
import re
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from threading import Thread

import pytest
from every_command import CODES, LINES, InOrder, commands, prepare
from rich.cells import cell_len
from rich.console import Console
from warm_start import WarmStart

from levelfield.cli.output import console, messages, show_table
from levelfield.plain_table import table_lines
from levelfield.progress import Progress
from levelfield.units import duration, plain, short, size, whole, wrap

pytestmark = pytest.mark.xdist_group("every command on a terminal")
"""A line finds what those before it left in the folder that they share."""

fcntl = pytest.importorskip("fcntl", reason="pseudo-terminals are POSIX's")
pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")

E_NOTATION = re.compile(r"(?<![\w.])\d+(\.\d+)?e[+-]\d+")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
CODE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\r")


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "LEVELFIELD_DATA")}
    return {**kept, "LEVELFIELD_CACHE": str(folder / "cache"), "TERM": "xterm-256color", "OMP_NUM_THREADS": "1", **more}


def in_a_pipe(line: str, folder: Path, **more: str) -> Said:
    done = subprocess.run(
        [sys.executable, "-m", "levelfield", *line.split()], cwd=folder, env=environment(folder, **more),
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=900,
    )  # fmt: skip
    return Said(done.returncode, done.stdout, done.stderr)


def on_a_terminal(line: str, folder: Path, start: WarmStart, columns: int = 80, **more: str) -> Said:
    """stdout on a pseudo-terminal of so many columns; stderr, which draws bars there, in a file."""
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    err = folder / "stderr.txt"
    start.ask(line, folder, environment(folder, **more), os.ttyname(terminal), str(err))
    said = bytearray()
    reading = Thread(target=_read_until_gone, args=(main, said))
    reading.start()
    code = start.exit_code()
    os.close(terminal)  # the last that could write on it
    reading.join()
    os.close(main)
    return Said(code, said.decode(), err.read_text())


def _read_until_gone(main: int, said: bytearray) -> None:
    with suppress(OSError):  # the terminal is gone with the last that wrote on it
        while part := os.read(main, 65536):
            said += part


@pytest.fixture(scope="module")
def start() -> Iterator[WarmStart]:
    with WarmStart() as start:
        yield start


@pytest.fixture(scope="module")
def said_on(tmp_path_factory: pytest.TempPathFactory, start: WarmStart) -> dict[bool, InOrder[Said]]:
    """What the lines say on a terminal, and in a pipe (each a process of its own there), each in its own folder."""
    on, off = (tmp_path_factory.mktemp(name) for name in ("terminal", "pipe"))
    for folder in (on, off):
        prepare(folder)
    return {
        True: InOrder(lambda line: on_a_terminal(line, on, start)),
        False: InOrder(lambda line: in_a_pipe(line, off)),
    }


def test_every_command_has_a_line() -> None:
    assert sorted(LINES) == commands()
    assert all(line.startswith(name) for name, lines in LINES.items() for line in lines)


@pytest.mark.parametrize("line", [line for lines in LINES.values() for line in lines])
@pytest.mark.parametrize("terminal", [True, False], ids=["80 columns", "pipe"])
def test_nothing_is_cut(terminal: bool, line: str, said_on: dict[bool, InOrder[Said]]) -> None:
    said = said_on[terminal](line)
    name = next(name for name, lines in LINES.items() if line in lines)
    assert said.code == CODES.get(name, 0), said.err
    lines = CODE.sub("", said.out).splitlines()
    assert "Traceback" not in said.err and "…" not in said.out + said.err
    if name != "schema":
        assert not E_NOTATION.search(said.out), said.out
    if terminal and name not in ("init", "schema"):  # whose lines are there to be copied
        assert max(map(len, lines), default=0) <= 80, [each for each in lines if len(each) > 80]
    if not terminal:
        assert "\x1b" not in said.out + said.err


@pytest.mark.parametrize("name", commands())
def test_help_fits_too(name: str, tmp_path: Path, start: WarmStart) -> None:
    said = on_a_terminal(f"{name} --help", tmp_path, start)
    lines = CODE.sub("", said.out).splitlines()
    assert said.code == 0 and "…" not in said.out and max(map(len, lines)) <= 80


def test_a_pipe_gets_whole_lines_whatever_columns_says(tmp_path: Path) -> None:
    said = in_a_pipe("models timm:vit_base_patch16_clip_224", tmp_path, COLUMNS="40")
    heading, line = said.out.splitlines()
    assert line.split()[0] == "timm:vit_base_patch16_clip_224" and len(heading) > 80


def test_colours_are_for_terminals_that_want_them(tmp_path: Path, start: WarmStart) -> None:
    def colours(said: Said) -> bool:
        return bool(re.search(r"\x1b\[[0-9;]*3[0-9]", said.out + said.err))

    line = "eval nowhere"  # a red error
    assert not colours(in_a_pipe(line, tmp_path))
    assert colours(in_a_pipe(line, tmp_path, FORCE_COLOR="1"))
    assert not colours(in_a_pipe(line, tmp_path, FORCE_COLOR="1", NO_COLOR="1"))
    assert COLOUR.search(on_a_terminal("study list", tmp_path, start).out)
    assert not colours(on_a_terminal("study list", tmp_path, start, NO_COLOR="1"))


def test_a_table_wraps_then_stacks_and_never_cuts() -> None:
    headings, numbers = ("name", "what it is", "a long heading", "n"), ("a long heading", "n")
    rows = [("sgdmix-multistep30-60-90+randaug", "words that can be wrapped at will", "1,234,567", "−12.34")]
    for width in (None, 100, 70, 50, 30, 12):
        heading, lines = table_lines(headings, rows, width, numbers)
        text = "".join("".join(lines).split())
        assert "1,234,567" in " ".join(lines) and "−12.34" in " ".join(lines)
        assert all(word in text for word in ("words", "wrapped")) and heading[0].startswith("name")
        longest = max(map(len, (*heading, *lines)))
        assert width is None or longest <= max(width, len("a long heading 1,234,567") + 2)
    (line,) = table_lines(headings, rows, None, numbers)[1]
    assert line.startswith(rows[0][0]) and line.endswith("−12.34")
    assert table_lines(("name", "n"), [], 80, ("n",)) == (["name  n"], [])


def test_no_table_is_wider_than_its_terminal() -> None:
    random = Random(0)
    for _ in range(500):
        width = random.randrange(24, 100)
        columns = random.randrange(1, 6)

        def cell(longest: int = width - 12) -> str:
            words = [
                "".join(random.choices("ab-_鳥", k=random.randrange(1, 40))) for _ in range(random.randrange(1, 5))
            ]
            return " ".join(word for word in words if cell_len(word) <= longest) or "x"

        headings = [f"{'heading ' * random.randrange(1, 3)}{at}" for at in range(columns)]
        rows = [[cell() for _ in headings] for _ in range(3)]
        heading, lines = table_lines(headings, rows, width, headings[1:2])
        assert max(map(cell_len, (*heading, *lines))) <= width, (headings, rows)
        pieces = [piece for row in rows for each in row for word in each.split() for piece in wrap(word, 1)]
        assert not Counter("".join(pieces)) - Counter("".join(lines))


def test_names_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("class", "n"), [("\x1b[31mowl\x1b]0;title\x07", "1"), ("crow\r\x9b2J", "2")], numbers=("n",))
    console.print("left out: a\x1b[2Jb.png")
    said = capsys.readouterr().out
    assert not set(said) & {"\x1b", "\x07", "\r", "\x9b"}
    assert "\\x1b[31mowl" in said and "crow\\r" in said and "a\\x1b[2Jb.png" in said


@pytest.mark.parametrize("name", ["runs/[old]/a", "runs/[/old]", "[bold]", "[#fff]", "[link=x]y", "a\\[b]", ":smile:"])
def test_names_are_printed_as_they_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What Rich takes for its own marks, in the names of files and rows and on the bars of progress."""
    console.print(f"page: {name}")
    messages.print(f"written: {name}", style="red", soft_wrap=True)
    said = capsys.readouterr()
    assert said.out == f"page: {name}\n" and said.err == f"written: {name}\n"

    drawn = Console(file=io.StringIO(), force_terminal=True, width=200)
    with Progress() as bars:
        bars._display.console, bars._display.on_terminal = drawn, True
        bars.start(2, f"{name} seed 0")
        bars.advance(1, loss="1.5")
        bars._display.bars.refresh()  # type: ignore[union-attr]
    assert isinstance(drawn.file, io.StringIO) and f"{name} seed 0" in COLOUR.sub("", drawn.file.getvalue())


def test_letters_that_take_two_columns_are_counted_so() -> None:
    lines = table_lines(("name", "n"), [("鳥の写真", "1"), ("bird", "12")], 80, ("n",))[1]
    assert {cell_len(line) for line in lines} == {12}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (short(5_302_000), "5.30 M"), (short(None), "–"), (short(999), "999"), (plain(3e-5), "0.00003"),
        (short(999_499), "999 k"), (short(999_500), "1.00 M"), (short(999_950_000), "1.00 G"), (short(999.5), "1.00 k"),
        (short(-12_345), "-12.3 k"), (short(5e15), "5,000 T"), (whole(-0.3), "0"), (whole(12345.6), "12,346"),
        (size(99.96), "100 MiB"), (size(1023.6), "1.0 GiB"), (plain(0.02), "0.02"),
        (size(1229), "1.2 GiB"), (size(3.14159), "3.1 MiB"), (duration(200), "3 min 20 s"),
        (duration(90_000), "1 d 1 h"), (wrap("a-b_c", 3), ["a-", "b_c"]), (wrap("", 3), [""]),
        (wrap("a +1.5 [-2.0, +3]", 4), ["a", "+1.5", "[-2.0,", "+3]"]),
    ],
)  # fmt: skip
def test_numbers_are_peoples(said: object, expected: object) -> None:
    assert said == expected


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1"])
@pytest.mark.parametrize("form", [["--format", "md"], ["--json"], []])
def test_what_an_encoding_lacks_ends_no_command(encoding: str, form: list[str]) -> None:
    """As in a pipe on Windows, and under a locale without UTF-8."""
    study = Path(__file__).parents[2] / "results" / "cpu" / "transfer-cpu"
    command = [sys.executable, "-m", "levelfield", "report", str(study), *form]
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": encoding}
    said = subprocess.run(command, capture_output=True, env=environment, timeout=120)
    assert said.returncode == 0, said.stderr.decode(encoding)
    text = said.stdout.decode("utf-8" if encoding == "ascii" else encoding)  # click takes ASCII for a lack of settings
    if form == ["--json"]:
        assert json.loads(text)["rows"][2]["row"] == "cub-finetuned"
    else:
        assert "cub-finetuned" in text and "+5.38" in text
