"""Many files side by side: what fails is tried once more at the end and listed; a full disk or Ctrl-C ends it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from radiogenesis.cohort.fetch.checksums import agrees
from radiogenesis.cohort.fetch.http import BY_SIZE, Client, Remote, safe
from radiogenesis.cohort.fetch.index import Series
from radiogenesis.cohort.fetch.s3 import list_objects, object_url
from radiogenesis.errors import FetchError
from radiogenesis.progress import Progress


@dataclass(frozen=True)
class Failure:
    """A file or series that could not be fetched, and why."""

    path: str
    url: str
    reason: str


class Transfer:
    """Fetches into one folder.

    Args:
        client: asks the sources.
        folder: of the cohort.
        total: bytes in all, for the progress.
        progress: is told of the bytes that are there.
        recheck: compare what is there with its checksum, instead of its size alone.

    Attributes:
        differed: files from an earlier call that were not what the source has, and were fetched again.
        by_size_alone: files of this call that their size alone vouches for: the source tells no checksum of them.
    """

    def __init__(self, client: Client, folder: Path, total: int, progress: Progress, *, recheck: bool = False) -> None:
        self.client, self.folder, self.recheck = client, folder, recheck
        self.differed: list[str] = []
        self.by_size_alone: list[str] = []
        self._counted: set[str] = set()  # files whose bytes are in `_done`
        self._total, self._done, self._progress = total, 0, progress
        self._lock, self._stop = threading.Lock(), threading.Event()

    def run(self, jobs: Sequence[Callable[[], list[Failure]]], connections: int) -> list[Failure]:
        """Do all jobs, then once more those in which something failed; what still fails."""
        again = [job for job, failures in self._once(jobs, connections) if failures]
        return [failure for _, failures in self._once(again, connections) for failure in failures]

    def _once(
        self, jobs: Sequence[Callable[[], list[Failure]]], connections: int
    ) -> list[tuple[Callable[[], list[Failure]], list[Failure]]]:
        with ThreadPoolExecutor(connections) as pool:
            running: list[Future[list[Failure]]] = [pool.submit(job) for job in jobs]
            try:
                wait(running, return_when=FIRST_EXCEPTION)
                for future in running:
                    if future.done() and (error := future.exception()):
                        raise error
            except BaseException:
                self._stop.set()
                pool.shutdown(cancel_futures=True)
                raise
        return [(job, future.result()) for job, future in zip(jobs, running, strict=True)]

    def files(self, remotes: Sequence[Remote]) -> list[Failure]:
        """Fetch these files one after the other."""
        failures = []
        for remote in remotes:
            try:
                if self._is_there(remote):
                    continue
                if self.client.download(remote, self.folder, self._tell) == BY_SIZE:
                    self.by_size_alone.append(remote.path)
                self._counted.add(remote.path)
            except FetchError as error:
                failures.append(Failure(remote.path, remote.url, error.problem))
        return failures

    def series(self, series: Series, bucket_url: str) -> list[Failure]:
        """Fetch every object of a series; its number and sizes must be those of the index."""
        place = f"images/{safe(series.patient)}/{safe(series.modality)}-{safe(series.uid)}"
        url = object_url(bucket_url, f"{series.prefix}/")
        try:
            listed = [stored for stored in list_objects(self.client, bucket_url, f"{series.prefix}/") if stored.size]
        except FetchError as error:
            return [Failure(place, url, error.problem)]
        size = sum(stored.size for stored in listed)
        if (len(listed), size) != (series.files, series.size):
            told = f"the bucket lists {len(listed):,} files of {size:,} bytes"
            return [Failure(place, url, f"{told}, and the index {series.files:,} of {series.size:,}")]
        return self.files(
            [
                Remote(
                    object_url(bucket_url, stored.key),
                    f"{place}/{safe(stored.key.rsplit('/')[-1])}",
                    stored.size,
                    stored.etag,
                )
                for stored in listed
            ]
        )

    def _is_there(self, remote: Remote) -> bool:
        """Whether the file is there from an earlier call; only whole and verified files have their name."""
        self._tell(0)
        if remote.path in self._counted:
            return True
        path = self.folder / remote.path
        if not path.is_file():
            return False
        verdict = agrees(path, remote.checksum) if self.recheck else None
        if (remote.size is None or path.stat().st_size == remote.size) and verdict is not False:
            self._tell(path.stat().st_size)
            self._counted.add(remote.path)
            return True
        with self._lock:
            self.differed.append(remote.path)
        return False

    def _tell(self, count: int) -> None:
        if self._stop.is_set():
            raise _Stopped
        with self._lock:
            self._done += count
            self._progress("bytes", self._done, max(self._total, self._done))


class _Stopped(Exception):
    """Another thread has ended the transfer."""
