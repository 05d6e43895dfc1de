"""Patients side by side: in this process, in several on this machine, or on the workers of a Dask scheduler."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from radiogenesis.cohort.patient_parts import Outcome
from radiogenesis.cohort.processes import Died, in_processes
from radiogenesis.cohort.sources import Source
from radiogenesis.errors import SettingError, may_pass
from radiogenesis.version import __version__

SCAN_GIB = 3.0  # memory that one worker needs for a large chest CT, its masks and their distances
CONNECT_SECONDS = 20  # how long a Dask scheduler may take to answer


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """How the work is spread."""

    workers: int = 0
    """Processes on this machine; 0 takes one per core as far as memory allows (3 GiB each), 1 works in this process."""
    scheduler: str = ""
    """Address of a running Dask scheduler instead (tls://host:8786); its workers must see RAW and OUT. Behind tcp://
    whoever reaches its port runs code as you: see the page On a cluster."""

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ValueError(f"workers {self.workers}: not below 0")


def unprotected(scheduler: str) -> str:
    """What is to be said of a scheduler without TLS; "" where there is nothing to say."""
    if not scheduler or scheduler.startswith("tls://"):
        return ""
    return (
        f"--scheduler {scheduler}: not protected by TLS: whoever reaches that port can run code as you; "
        "see the page On a cluster of the documentation"
    )


def side_by_side(
    make: Callable[[tuple[Source, Path]], Outcome], jobs: list[tuple[Source, Path]], build: BuildSettings
) -> Iterator[Outcome]:
    """The outcomes, as they come; a worker that dies with a patient costs that patient only."""
    if build.scheduler:
        yield from _by_scheduler(make, jobs, build.scheduler)
        return
    workers = min(build.workers or default_workers(), len(jobs))
    if workers <= 1:
        yield from map(make, jobs)
        return
    for number, made in in_processes(make, jobs, workers):
        yield died(jobs[number][0], made) if isinstance(made, Died) else made


def _by_scheduler(
    make: Callable[[tuple[Source, Path]], Outcome], jobs: list[tuple[Source, Path]], scheduler: str
) -> Iterator[Outcome]:
    from distributed import as_completed

    with connected(scheduler) as client:
        left, whose = iter(jobs), {}
        running = as_completed()

        def fill() -> None:
            """One patient per thread and no more, so that a dying worker takes nobody with it."""
            for job in islice(left, max(sum(client.nthreads().values()), 1) - running.count()):
                future = client.submit(make, job, pure=False)
                whose[future.key] = job[0]
                running.add(future)

        fill()
        for future in running:
            error = future.exception()
            yield future.result() if error is None else unexpected(whose[future.key], error)
            fill()


def died(source: Source, how: Died) -> Outcome:
    """The outcome of a patient of whom processes died: want of memory may pass, a crash in a library does not."""
    why = "the system does so where memory runs out; try fewer --workers" if how.killed else "a crash in a library"
    if str(how).endswith("code 1"):  # what a script raises that starts itself again
        why += ', or a script that builds outside of `if __name__ == "__main__":`'
    return Outcome(source.patient, "out", f"its process {how} twice ({why})", passing=how.killed)


def unexpected(source: Source, error: BaseException) -> Outcome:
    """The outcome of a patient for whom something failed that no reader foresaw."""
    what = " ".join(f"{type(error).__name__}: {error}".split())
    lost = type(error).__name__ == "KilledWorker"  # by name, since importing Dask takes long
    if lost:
        what = "end of two workers (out of memory, or a crash in a library)"
    return Outcome(
        source.patient, "out", f"unexpected {what}", passing=lost or isinstance(error, OSError) or may_pass(error)
    )


@contextmanager
def connected(scheduler: str) -> Iterator[Any]:
    """A Dask client of the given scheduler. A patient of whom workers die is tried as often as it allows."""
    from distributed import Client

    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TypeError) as error:
        raise SettingError(f"no Dask scheduler answers at {scheduler}", remedy="check --scheduler") from error
    with client:
        _same_version(client, scheduler)
        yield client


def _same_version(client: Any, scheduler: str) -> None:
    """Raises SettingError where the scheduler's workers could not do the work: Dask itself would wait for ever."""
    versions = client.run(importlib.metadata.version, "radiogenesis", on_error="return")
    if not versions:
        raise SettingError(f"the Dask scheduler at {scheduler} has no workers", remedy="start some with `dask worker`")
    for worker, version in versions.items():
        if version != __version__:
            what = "lacks radiogenesis" if isinstance(version, Exception) else f"has radiogenesis {version}"
            raise SettingError(f"the Dask worker {worker} {what}", remedy=f"install radiogenesis {__version__} there")


def default_workers() -> int:
    """One per core that this process may use, as far as memory allows."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else SCAN_GIB
    return max(1, min(cores, int(memory / SCAN_GIB)))
