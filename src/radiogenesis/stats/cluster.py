"""Long work on the workers of the Dask client that is connected, where one is: the numbers are the same without."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from radiogenesis.errors import SettingError

Shared = TypeVar("Shared")
Job = TypeVar("Job")
Result = TypeVar("Result")


def workers() -> int:
    """Threads of the connected client's workers; 1 where none is connected."""
    client = _client()
    return 1 if client is None else max(1, sum(client.nthreads().values()))


def on_workers(work: Callable[[Shared, Job], Result], shared: Shared, jobs: Sequence[Job]) -> list[Result]:
    """What comes of every job, in their order; one after the other in this process where no client is connected.

    Args:
        work: a function of a module.
        shared: what every job needs; it is sent to the workers once.
        jobs: few and long.

    Raises:
        SettingError: workers died of a job as often as the scheduler allows.

    Examples:
        >>> on_workers(pow, 2, [1, 2, 3])
        [2, 4, 8]
    """
    client = _client()
    if client is None:
        return [work(shared, job) for job in jobs]
    [held] = client.scatter([shared], hash=False)
    futures = [client.submit(_with_one_thread, work, held, job, pure=False) for job in jobs]
    try:
        found: list[Result] = client.gather(futures)
    except Exception as error:
        if type(error).__name__ != "KilledWorker":  # by name, since importing Dask takes long
            raise
        raise SettingError(
            "the Dask scheduler's workers ended again and again over the same work", remedy="give them more memory"
        ) from error
    return found


def _with_one_thread(work: Callable[[Any, Any], Any], shared: Any, job: Any) -> Any:
    """Workers side by side would fight over the cores with more."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1):
        return work(shared, job)


def _client() -> Any:
    """The Dask client that is connected, or None: nobody connects one without importing it."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return distributed.default_client()
    except ValueError:
        return None
