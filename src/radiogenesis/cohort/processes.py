"""Work in several processes of this machine, over unnamed pipes: no port is open, and nobody else is listened to.

A process that dies costs the job it had; another one takes its place. None outlives the process that started it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar, cast

Job = TypeVar("Job")
_SPAWN = multiprocessing.get_context("spawn")  # a fork would copy locks that threads of this process hold
_ATTEMPTS = 2  # at a job that processes die of


@dataclass(frozen=True)
class Died:
    """Processes died of a job.

    Attributes:
        exit_code: of the last of them; below 0 the signal that ended it.
    """

    exit_code: int

    @property
    def killed(self) -> bool:
        """Whether something outside ended it, such as the system's killer where memory runs out; else it crashed."""
        return self.exit_code in (-signal.SIGKILL, -signal.SIGTERM)

    def __str__(self) -> str:
        if self.exit_code >= 0:
            return f"ended with exit code {self.exit_code}"
        return f"was ended by {signal.Signals(-self.exit_code).name}"


def in_processes(make: Callable[[Job], Any], jobs: Sequence[Job], workers: int) -> Iterator[tuple[int, Any]]:
    """The number of each job and what `make` returned, as they come; `Died` where processes died of it.

    Args:
        make: a function that a module can be asked for; what it raises is raised here.
        jobs: sent to the processes one by one.
        workers: processes, each with one thread.
    """
    waiting = [(number, 1) for number in reversed(range(len(jobs)))]
    working: dict[Connection, _Worker] = {}
    idle: list[_Worker] = []
    try:
        while waiting or working:
            while waiting and len(working) < workers:
                try:
                    worker = idle.pop() if idle else _Worker(make)
                except OSError:  # no room for another process, or for the pipe to it
                    if not working:
                        raise
                    workers = len(working)
                    break
                working[worker.line] = worker
                worker.give(jobs, *waiting.pop())
            for line in wait(list(working)):
                worker = working.pop(cast(Connection, line))
                try:
                    result, error = worker.take()
                except (EOFError, ConnectionError):
                    result, error = Died(worker.end()), None
                    if worker.attempt < _ATTEMPTS:
                        waiting.append((worker.number, worker.attempt + 1))
                        continue
                else:
                    idle.append(worker)
                if error is not None:
                    raise error
                yield worker.number, result
    finally:
        for worker in [*idle, *working.values()]:
            worker.process.terminate()
            worker.end()


class _Worker:
    """A process, the pipe to it, and the job that it has."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.line, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_work, args=(make, theirs), daemon=True)
        try:
            self.process.start()
        except BaseException:
            self.line.close()
            raise
        finally:
            theirs.close()
        self.number = self.attempt = 0

    def give(self, jobs: Sequence[Any], number: int, attempt: int) -> None:
        """Send a job. Where the process is gone already, `take` tells."""
        self.number, self.attempt = number, attempt
        with suppress(ConnectionError):
            self.line.send(jobs[number])

    def take(self) -> tuple[Any, BaseException | None]:
        """What it made, or the error that it raised. Raises EOFError or ConnectionError where it died."""
        made: tuple[Any, BaseException | None] = self.line.recv()
        return made

    def end(self) -> int:
        """Wait for its end; its exit code."""
        self.line.close()
        self.process.join()
        return self.process.exitcode or 0


def _work(make: Callable[[Any], Any], line: Connection) -> None:
    """What a process does: one job after the other, until the pipe or the process that started it is closed."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process ends the others
    threading.Thread(target=_end_with_parent, daemon=True).start()
    threadpool_limits(1)  # processes share the cores; threads inside them would fight over them
    while True:
        try:
            job = line.recv()
        except EOFError:
            return
        made: tuple[Any, Exception | None]
        try:
            made = make(job), None
        except Exception as error:
            made = None, error
        line.send(made)


def _end_with_parent() -> None:
    """A process whose parent was killed would work on for nobody."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
