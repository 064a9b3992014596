"""Progress: bars with the time left on a terminal (stderr) and in a notebook, a plain line every ten seconds elsewhere.

Levels nest. A study opens a level whose total is the expected work of all its runs, and gives each run
`study.inside(share)`: as the run advances, the study advances by that share, so its time left is that of the whole.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from levelfield import notebook
from levelfield.units import duration

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

OnProgress = Callable[[str, int, int], None]
"""Called with (what, done, total) every now and then during long work."""

REFRESH_S = 0.1
"""Seconds between two redraws of a bar; advancing more often costs a clock reading and an addition."""


class _Display:
    """The one place on the terminal that all nested levels draw on. Without Rich it is plain lines."""

    def __init__(self, shown: bool, every_s: float) -> None:
        self.shown = shown
        self.console = _console() if shown else None
        self.on_terminal = self.console is not None and self.console.is_terminal
        self.in_notebook = shown and notebook.in_notebook()
        self.place: notebook.Place | None = None
        self.every_s = REFRESH_S if self.on_terminal or self.in_notebook else every_s
        self.drawn_at = time.monotonic()
        self.bars: Bars | None = None
        self.levels: list[Progress] = []

    def open(self, level: Progress) -> TaskID | None:
        self.levels.append(level)
        if self.in_notebook:
            self.place = self.place or notebook.Place()
            self._draw_in_notebook()
        if not self.on_terminal:
            return None
        if self.bars is None:
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bars

            self.bars = Bars(
                TextColumn("{task.description}", markup=False), BarColumn(bar_width=24),
                TextColumn("{task.percentage:>3.0f} %"), TextColumn("{task.fields[left]}"),
                TextColumn("{task.fields[shown]}", markup=False),
                console=self.console, transient=True, refresh_per_second=5,
            )  # fmt: skip
            self.bars.start()
            self.drawn_at -= REFRESH_S  # what is said first is drawn at once
        task = self.bars.add_task(level.description, total=level.total, left="", shown="")
        self.bars.update(task, completed=level.done)
        return task

    def close(self, level: Progress) -> None:
        self.levels.remove(level)
        if self.place is not None:
            self._draw_in_notebook()
        if self.bars is not None and level.task is not None:
            self.bars.remove_task(level.task)
            if not self.levels:
                self.bars.stop()
                self.bars = None

    def draw(self) -> None:
        """Redraw if it is time to."""
        now = time.monotonic()
        if not self.shown or now - self.drawn_at < self.every_s:
            return
        self.drawn_at = now
        if self.bars is not None:
            for level in self.levels:
                if level.task is not None:
                    left = level.left()
                    self.bars.update(level.task, total=level.total, completed=level.done, left=left, shown=level.fields)
        elif self.in_notebook:
            self._draw_in_notebook()
        elif not self.on_terminal:
            self.print(" | ".join(level.line() for level in self.levels))

    def _draw_in_notebook(self) -> None:
        if self.place is not None:
            self.place.draw("".join(level.html() for level in self.levels))

    def print(self, text: str) -> None:
        if self.console is not None:
            self.console.print(text, markup=False, highlight=False)
        elif self.shown:
            print(text, file=sys.stderr, flush=True)


def _console() -> Console | None:
    """Where to draw; None where Rich, which training does without, is not installed."""
    if importlib.util.find_spec("rich") is None:
        return None
    from rich.console import Console

    return Console(stderr=True, soft_wrap=True, markup=False, emoji=False)


class Progress:
    """One level of progress; a context manager that closes its level on the way out.

    `shown=False` says nothing at all. Where stderr is no terminal a line is written every `every_s` seconds. `parent`:
    the level that this one is inside of, worth `share` of its units.
    """

    def __init__(
        self, *, shown: bool = True, every_s: float = 10.0, parent: Progress | None = None, share: float = 0.0
    ) -> None:
        self._display: _Display = parent._display if parent is not None else _Display(shown, every_s)
        self._parent, self._share = parent, share
        self.total = self.done = 0.0
        self.description = self.fields = ""
        self.task: TaskID | None = None
        self._open = False
        self._began = self._done_before = self._parent_before = 0.0

    @property
    def nested(self) -> bool:
        """Whether this level is inside another, such as a run in a study."""
        return self._parent is not None

    def start(self, total: float, description: str, *, done: float = 0.0) -> None:
        """Open this level: `total` units of work, of which `done` were there before (they do not count for speed)."""
        self.finish()
        self.total, self.done, self.description, self.fields = float(total), float(done), description, ""
        self._done_before, self._began = self.done, time.monotonic()
        self._parent_before = self._parent.done if self._parent else 0.0
        self._open = True
        self.task = self._display.open(self)

    def advance(self, n: float = 1.0, **fields: object) -> None:
        """`n` units are done; `fields` (loss="0.52", epoch="3/10") are shown beside the bar until replaced."""
        self.done += n
        if fields:
            self.fields = "  ".join(f"{name} {value}" for name, value in fields.items())
        if self._parent is not None and self.total > 0:
            self._parent.done = self._parent_before + self._share * min(1.0, self.done / self.total)
        self._display.draw()

    def adjust(self, done: float, total: float) -> None:
        """Restate how much is done and how much there is, where the work turned out other than expected."""
        self.done, self.total = done, total
        self._display.draw()

    def finish(self) -> None:
        """Close this level; its share of the enclosing level counts as done. Closing twice is harmless."""
        if not self._open:
            return
        self._open = False
        if self._parent is not None:
            self._parent.done = self._parent_before + self._share
        self._display.close(self)

    def inside(self, share: float) -> Progress:
        """A level inside this one, worth `share` of this level's units."""
        return Progress(parent=self, share=share)

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        self._display.print(text)

    def seconds_left(self) -> float | None:
        """Seconds until the total, at the mean speed since the start; None before anything was done."""
        worked = self.done - self._done_before
        if worked <= 0:
            return None
        return (time.monotonic() - self._began) * max(0.0, self.total - self.done) / worked

    def left(self) -> str:
        """The time left, as text; empty while unknown."""
        seconds = self.seconds_left()
        return "" if seconds is None else f"{duration(seconds)} left"

    def html(self) -> str:
        """This level as a bar of a notebook."""
        beside = "  ".join(part for part in (self.left(), self.fields) if part)
        return notebook.bar(self.description, self.done, self.total, beside)

    def line(self) -> str:
        """This level as one line of plain text."""
        percent = 100.0 * self.done / self.total if self.total > 0 else 0.0
        return "  ".join(part for part in (f"{self.description} {percent:.0f} %", self.left(), self.fields) if part)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.finish()
        sys.stderr.flush()


@contextmanager
def on_stderr() -> Iterator[OnProgress]:
    """Progress of long work as bars or lines on stderr; silent as long as there is none."""
    with Progress() as bars:
        described = None

        def show(what: str, done: int, total: int) -> None:
            nonlocal described
            if what != described:
                described = what
                bars.start(total, what)
            bars.advance(done - bars.done)

        yield show
