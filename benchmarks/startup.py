"""How long commands take to answer, beside `import torch`: wall and CPU seconds, every one in a fresh process.

Medians of `--rounds`, in each of which every command has its turn. CPU seconds (user and system, of the process and of
those it waited for) are what holds on a busy machine, where a clock on the wall also counts what others do. The
finished study is the one in `results/cpu/rexnet-cifar10`, of which a copy is read.

    python benchmarks/startup.py                  # the whole table, as Markdown
    python benchmarks/startup.py --rounds 3 --only 'models*' 'train*' --json
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
STUDY: Final = "rexnet-cifar10"


class Command(NamedTuple):
    """`argv` is given to `python`; `code` is what it must exit with."""

    name: str
    argv: list[str]
    code: int = 0


def _levelfield(name: str, code: int = 0) -> Command:
    """A command by its words, which are split at blanks."""
    return Command(name, ["-m", "levelfield", *name.replace("'", "").split()], code)


COMMANDS: Final = [
    Command("python -c 'import torch'", ["-c", "import torch"]),
    _levelfield("--help"),
    _levelfield("train --model resnet_nanp --data digits", 2),
    _levelfield("train --model timm:resnet19 --data digits", 2),
    _levelfield("train --model resnet_nano --data digist", 2),
    _levelfield("train --model resnet_nano --data digits --recipe cpu-fats", 2),
    _levelfield("train --model resnet_nano --data digits --set recipe.optimizer.lr=-1", 2),
    _levelfield("train --model resnet_nano --data digits --set recipe.optimiser.lr=1", 2),
    _levelfield("train --config broken.yaml", 2),
    _levelfield("eval nowhere", 2),
    _levelfield("gate nosuch resnet_nano --data digits", 2),
    _levelfield("profile nosuch", 2),
    _levelfield("models 'outgrid*'"),
    _levelfield("models"),
    _levelfield("models nosuch", 2),
    _levelfield("data list"),
    _levelfield("study list"),
    _levelfield(f"study status {STUDY} --out study"),
    _levelfield(f"study report {STUDY} --out study"),
    _levelfield("report study --no-images"),
    _levelfield("train --model resnet_nano --data digits --show-config"),
    _levelfield("train --model resnet_nano --data digits --set budget.steps=1 --out run-ROUND"),
    _levelfield("profile resnet18_s1"),
]


def seconds(command: Command, folder: Path, number: int) -> tuple[float, float]:
    """Wall and CPU seconds of one process in `folder`. Raises RuntimeError where it exits otherwise than it must."""
    argv = [sys.executable, *(word.replace("ROUND", str(number)) for word in command.argv)]
    begin = time.perf_counter()
    child = subprocess.Popen(argv, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert child.stdout is not None
    said = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - begin
    child.returncode = code = os.waitstatus_to_exitcode(status)
    if code != command.code:
        raise RuntimeError(f"{command.name}: exit code {code}, not {command.code}\n{said.decode(errors='replace')}")
    return wall, used.ru_utime + used.ru_stime


def measured(commands: list[Command], rounds: int) -> list[dict[str, Any]]:
    """A row a command: medians over rounds, and all values."""
    took: dict[str, list[tuple[float, float]]] = {command.name: [] for command in commands}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "broken.yaml").write_text("model: {name: resnet_nano\ndata: digits\n", encoding="utf-8")
        shutil.copytree(ROOT / "results" / "cpu" / STUDY, folder / "study")
        for number in range(rounds):
            for command in commands:
                took[command.name].append(seconds(command, folder, number))
    return [
        {
            "command": name,
            "wall_s": statistics.median(wall for wall, _ in each),
            "cpu_s": statistics.median(cpu for _, cpu in each),
            "all": each,
        }
        for name, each in took.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=["*"], help="patterns of commands; `import torch` always is one")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch, *others = COMMANDS
    chosen = [each for each in others if any(fnmatch.fnmatchcase(each.name, pattern) for pattern in given.only)]
    rows = measured([torch, *chosen], given.rounds)
    if given.json:
        print(json.dumps(rows, indent=2))
        return
    print("| command | wall, s | CPU, s | CPU / `import torch` |\n|---|---|---|---|")
    for row in rows:
        ratio = row["cpu_s"] / rows[0]["cpu_s"]
        print(f"| `{row['command']}` | {row['wall_s']:.2f} | {row['cpu_s']:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
