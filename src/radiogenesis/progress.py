"""How far long work is: a bar in a terminal; in a log file, where rich prints nothing before the end, a dated line now
and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and of how much; 0 and 0 where nobody knows."""


def silent(what: str, done: int, total: int) -> None:
    """Tells nothing."""


EVERY_SECONDS = 60.0
"""Between two lines in a log file."""


class _Lines:
    """Says when a line is due, and prints it with its date."""

    def __init__(self, console: Console, every: float) -> None:
        self.console, self.every, self.next = console, every, 0.0

    def say(self, *parts: str) -> None:
        """Print the parts as one line, unless there is a terminal or a line was printed a moment ago."""
        now = time.monotonic()
        if self.console.is_terminal or now < self.next:
            return
        self.next = now + self.every
        line = "  ".join([f"{datetime.now():%Y-%m-%d %H:%M:%S}", *filter(None, parts)])
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


class Bar(RichProgress):
    """rich's progress bars, on stderr.

    Args:
        columns: what a bar shows; a task's field `rate` is in the lines too.
        every: seconds between two lines in a log file.
    """

    def __init__(
        self, *columns: str | ProgressColumn, console: Console | None = None, every: float = EVERY_SECONDS
    ) -> None:
        super().__init__(*columns, console=console or Console(stderr=True))
        self._lines = _Lines(self.console, every)

    def update(self, task_id: TaskID, **changes: Any) -> None:
        super().update(task_id, **changes)
        self._say(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._say(task_id)

    def _say(self, task_id: TaskID) -> None:
        task = self._tasks[task_id]
        if self.live.is_started and task.visible and not task.finished:
            done = f"{task.completed:g} of {task.total:g}" if task.total else ""
            left = task.time_remaining
            self._lines.say(
                task.description,
                done,
                str(task.fields.get("rate", "")),
                f"{timedelta(seconds=round(left))} left" if left else "",
            )


class TaskBars:
    """A bar on stderr for each thing that is told of. A context, and a `Progress`.

    Args:
        unit: what is counted.
    """

    def __init__(self, unit: str = "patients") -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(f"{unit}, left"))
        self._bar = Bar(*columns, TimeRemainingColumn())
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> TaskBars:
        self._bar.start()
        return self

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=total)
        self._bar.update(self._tasks[what], completed=done)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


class Status:
    """What is being done, where nobody knows how much of it there is. A context; `update` says the next thing."""

    def __init__(self, text: str, console: Console | None = None, every: float = EVERY_SECONDS) -> None:
        self.console = console or Console(stderr=True)
        self._text, self._lines = text, _Lines(self.console, every)
        self._status = self.console.status(text)

    def __enter__(self) -> Status:
        self._status.start()
        self._lines.say(self._text)
        return self

    def update(self, text: str) -> None:
        """Say what is done now."""
        self._status.update(text)
        self._lines.say(text)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.stop()
