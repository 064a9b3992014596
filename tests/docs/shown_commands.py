"""Every command that README.md and docs/ show, and what the tests do with each.

A fenced block without a language (or `bash`) holds commands, a line each; `python` and `yaml` are what they say; `text`
is neither. A block of which nothing can be run says why in a comment before it: `<!-- not run: needs a cluster -->`.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (
    "README.md",
    "SKILL.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")),
)
BLOCK = re.compile(r"^```([^\n`]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"<!-- not run: (\S[^>]*\S) -->\s*\Z")
FILE = re.compile(r"# ([\w-]+\.(?:py|yaml))\b")
SHELL: Final = ("", "bash", "sh", "console", "shell")

Kind = Literal["executed", "parsed", "marked"]
TINY: Final = ["budget={steps: 1}", "recipe.batch_size=8", "data.train_limit=40", "data.test_limit=40"]
"""What is set so that a training takes no time."""
SETS: Final = [word for assignment in TINY for word in ("--set", assignment)]
FEW: Final = [*SETS, "--seeds", "2", "--yes"]


@dataclass(frozen=True)
class Step:
    """`kind`: "executed" in a folder of its own, with `extra` added; "parsed" by the command line, and `planned`, which
    is executed instead, where that says more; "marked" where the page says why not."""

    page: str
    line: int
    text: str
    kind: Kind
    extra: list[str] = field(default_factory=list)
    planned: list[str] = field(default_factory=list)
    language: str = ""

    @property
    def code(self) -> bool:
        """Whether it is a block of code, not a command."""
        return self.language not in SHELL


RULES: Final[tuple[tuple[str, Kind, list[str], str], ...]] = (
    (r"levelfield train .*--show-(config|schedule)", "executed", [], ""),
    (r"levelfield train ", "executed", [*SETS, "--yes"], ""),
    (r"levelfield study run (?P<name>\S+)(?P<scale> --scale \S+)?.* (--on ray|--until|--parallel)", "parsed", [],
     "levelfield study plan {name}{scale} --no-probe --out elsewhere"),
    (r"levelfield study run birds\.yaml --scale smoke", "executed", [], ""),
    (r"levelfield study run (quickstart|(mine|compare|transfer|birds|tuned|distil)\.yaml)", "executed", FEW, ""),
    (r"levelfield init birds\.yaml --data birds ", "executed", [], ""),
    (r"levelfield study (run|sweep) (?P<name>\S+)(?P<scale> --scale \S+)?", "parsed", [],
     "levelfield study plan {name}{scale} --no-probe --out elsewhere"),
    (r"levelfield study plan ", "executed", ["--no-probe"], ""),
    (r"levelfield study (list|status|report|pick|merge|rm)\b", "executed", [], ""),
    (r"levelfield (models|data list|data check|data show|schema|eval|predict|card|paper|report)\b", "executed", [], ""),
    (r"levelfield export ", "executed", [], ""),
    (r"levelfield analyze rank --run", "executed", [], ""),
    (r"levelfield (ablate|scale|shrink) ", "executed", ["--only-write"], ""),
    (r"levelfield (gate|record|profile|data get|data import|data clean|analyze|init|hub)\b", "parsed", [], ""),
    (r"torchrun ", "parsed", [], ""),
    (r"make [a-z]+$", "parsed", [], ""),
    (r"\. \.venv/bin/activate$", "parsed", [], ""),
    (r"pip install ", "parsed", [], ""),
)  # fmt: skip
"""What is done with a line, by the first pattern that fits: what is added where it is executed, and what is executed
instead where it is parsed, with what the pattern's groups caught. A line that none fits fails the test."""


def steps(page: str, text: str) -> list[Step]:
    """What is done with the blocks of a page, in order. Raises ValueError for a line that no rule fits."""
    found: list[Step] = []
    for block in BLOCK.finditer(text):
        language, content = block[1].strip(), block[2]
        line = text[: block.start()].count("\n") + 2
        if MARK.search(text[: block.start()]):
            found.append(Step(page, line, content, "marked", language=language))
        elif language in ("python", "yaml"):
            found.append(Step(page, line, content, "executed", language=language))
        elif language in SHELL:
            found += [_of_line(page, line, command) for command in _lines(content)]
    return found


def _lines(content: str) -> list[str]:
    """Commands without comments; lines that end in a backslash are joined."""
    joined = content.replace("\\\n", " ")
    return [line for raw in joined.splitlines() if (line := shlex.join(shlex.split(raw, comments=True)))]


def _of_line(page: str, line: int, command: str) -> Step:
    for pattern, kind, extra, planned in RULES:
        if match := re.match(pattern, command):
            caught = {name: value or "" for name, value in match.groupdict().items()}
            return Step(page, line, command, kind, extra, shlex.split(planned.format(**caught)))
    raise ValueError(
        f"{page}:{line}: no rule for {command!r}: add one to RULES, or say `<!-- not run: why -->` before the block"
    )
