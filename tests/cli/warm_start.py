"""Commands that start in a process which has loaded the large libraries already: as from a shell, without that wait.

`python warm_start.py MODULE...` imports the modules and then reads one request a line. For each it forks; the child
gives itself the folder, the environment and the streams that were asked for, and is `python -m levelfield ARGUMENTS`.
The answer is a line with the exit code. Nothing of levelfield is imported before the fork: what it finds in its
environment and its streams it finds as a process of its own does.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

LIBRARIES = (
    "torch", "torch._dynamo", "torch.export", "torchvision", "timm", "numpy", "PIL.Image", "pandas", "scipy.stats",
    "sklearn.metrics", "statsmodels.api", "pyarrow.parquet", "safetensors.torch", "onnx", "yaml", "altair",
)  # fmt: skip
"""What one command or another imports; what is not installed is passed over."""


class WarmStart:
    """Runs commands one after another, each in a fork of one process. Close it, or use it in a `with` statement."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, __file__, *LIBRARIES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def __enter__(self) -> WarmStart:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()  # which is its sign to end
        self._server.wait(timeout=60)

    def ask(self, line: str, folder: Path, environment: dict[str, str], out: str, err: str) -> None:
        """Begin `levelfield LINE` in `folder`, what it prints going to two paths (of files or of a terminal)."""
        asked = {"arguments": line.split(), "folder": str(folder), "environment": environment, "out": out, "err": err}
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()

    def exit_code(self) -> int:
        """Wait for the command that was asked for last."""
        assert self._server.stdout is not None
        return int(self._server.stdout.readline())


def serve(modules: list[str]) -> None:
    for name in modules:
        with suppress(ImportError):
            import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def become(asked: dict[str, Any]) -> NoReturn:
    """Carry the command out in this process, which ends with it."""
    os.setsid()
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, asked["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, asked["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        file = os.open(path, flags | os.O_NOCTTY)
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w", buffering=1), open(2, "w", buffering=1)  # noqa: SIM115
    sys.argv = ["levelfield", *asked["arguments"]]
    sys.path[0] = asked["folder"]  # where `-m` looks first
    code: Any = 0
    try:
        runpy.run_module("levelfield", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    serve(sys.argv[1:])
