"""No room but `system` calls what only some systems have, and every text file is read and written as UTF-8."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import levelfield

SOURCE = Path(levelfield.__file__).parent
ONLY_SOMEWHERE = {
    "fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "posix", "syslog", "curses", "readline", "nt", "msvcrt",
    "winreg", "winsound", "_winapi",
}  # fmt: skip
"""Modules that Python has on some systems only."""
OF_OS = {
    "fork", "forkpty", "pread", "pwrite", "preadv", "pwritev", "posix_fallocate", "posix_fadvise", "posix_spawn",
    "sched_getaffinity", "sched_setaffinity", "getuid", "geteuid", "getgid", "getegid", "getpgid", "getpriority",
    "setpriority", "uname", "nice", "mkfifo", "mknod", "killpg", "setsid", "setpgrp", "statvfs", "fstatvfs", "sysconf",
    "confstr", "getloadavg", "chown", "fchown", "lchown", "fchmod", "sendfile", "wait", "wait3", "wait4", "waitid",
    "WIFSIGNALED", "WTERMSIG", "WEXITSTATUS", "startfile", "O_BINARY", "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC",
}  # fmt: skip
OF_SIGNAL = {
    "SIGKILL", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGPIPE", "SIGCHLD", "SIGCONT", "SIGSTOP",
    "SIGTSTP", "alarm", "setitimer", "pause", "pthread_kill", "pthread_sigmask", "sigwait", "siginterrupt",
    "CTRL_C_EVENT",
}  # fmt: skip
PLACES = ("/proc", "/sys/", "/dev/", "/etc/", "/tmp", "/usr", "/var/")
TEXT = {"open", "read_text", "write_text", "fdopen", "NamedTemporaryFile"}


def portability(source: str) -> list[str]:
    """What in a file's source only some systems have, or depends on a system's encoding, with its line."""
    found = []
    tree = ast.parse(source)
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import):
            found += [f"{line}: import {alias.name}" for alias in node.names if alias.name in ONLY_SOMEWHERE]
        elif isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            if node.module in ONLY_SOMEWHERE:
                found.append(f"{line}: from {node.module}")
            found += [f"{line}: os.{name}" for name in names & OF_OS if node.module == "os"]
            found += [f"{line}: signal.{name}" for name in names & OF_SIGNAL if node.module == "signal"]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            wrong = {"os": OF_OS, "signal": OF_SIGNAL}.get(node.value.id, set())
            found += [f"{line}: {node.value.id}.{node.attr}"] if node.attr in wrong else []
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            found += [f"{line}: {node.value}"] if node.value.startswith(PLACES) else []
        if isinstance(node, ast.Call):
            found += [f"{line}: {text}" for text in _of_call(node)]
    return found


def _of_call(node: ast.Call) -> list[str]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    texts = [value.value for value in node.args if isinstance(value, ast.Constant) and isinstance(value.value, str)]
    keywords = {keyword.arg: keyword.value for keyword in node.keywords}
    found = ["the start method fork"] if name in {"get_context", "set_start_method"} and "fork" in texts else []
    if name in {"run", "Popen", "check_output"} and ("text" in keywords or "universal_newlines" in keywords):
        found += [] if "encoding" in keywords else [f"{name} of text without an encoding"]
    if name not in TEXT or "encoding" in keywords or None in keywords:
        return found
    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
    if name == "read_text" and texts[:1] == ["utf-8"]:
        return found
    if name in {"read_text", "write_text"}:
        # `write_text(path, text)` is ours, a function and no method: UTF-8 by itself
        return found + ([f"{name} without an encoding"] if owner is not None else [])
    if isinstance(owner, ast.Name) and owner.id in {"Image", "tarfile", "gzip", "zipfile", "os", "webbrowser"}:
        return found
    place = 0 if owner is not None else 1
    given = keywords.get("mode", node.args[place] if len(node.args) > place else ast.Constant("r"))
    mode = given.value if isinstance(given, ast.Constant) else None
    if not isinstance(mode, str) or not set(mode) <= set("rwaxbt+"):
        return found  # a function of another kind: of ours, with arguments of its own
    return found + (["open of text without an encoding"] if "b" not in mode else [])


FILES = {
    path.relative_to(SOURCE).as_posix(): path
    for path in sorted(SOURCE.rglob("*.py"))
    if path.relative_to(SOURCE).parts[0] != "system"
}


def test_only_one_room_knows_what_systems_do_differently() -> None:
    found = {name: wrong for name, path in FILES.items() if (wrong := portability(path.read_text(encoding="utf-8")))}
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "import fcntl", "from resource import getrusage", "import os\nos.pread(1, 2, 3)", "from os import fork",
        "import signal\nsignal.SIGKILL", "Path('/proc/stat')", "get_context('fork')", "Path('a').read_text()",
        "Path('a').write_text('b')", "Path('a').open()", "Path('a').open('w')", "open('a')", "open('a', 'w')",
        "(folder / 'a').open('a')", "subprocess.run(command, text=True)", "path.open(mode='w')",
    ],
)  # fmt: skip
def test_the_test_sees(source: str) -> None:
    assert len(portability(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "Path('a').open('rb')", "open('a', 'wb')", "Path('a').read_text(encoding='utf-8')", "write_text(path, 'b')",
        "'''/proc says so'''", "os.open(path, 0)", "Image.open(path)", "study.open(first, second)", "os.replace(a, b)",
        "subprocess.run(command, text=True, encoding='utf-8')", "get_context('spawn')",
    ],
)  # fmt: skip
def test_the_test_does_not_see_what_is_not_there(source: str) -> None:
    assert portability(source) == []
