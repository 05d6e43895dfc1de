"""One file over HTTP: streamed, resumed where it stopped, compared with size and checksum, then put in its place."""

from __future__ import annotations

import gzip
import os
import re
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from radiogenesis.cohort.fetch.checksums import agrees
from radiogenesis.errors import FetchError
from radiogenesis.version import __version__

CHUNK = 2**18
BY_CHECKSUM, BY_SIZE = "checksum", "size"
_BUSY = (429, 500, 502, 503, 504)
_DROPPED = (requests.RequestException, HTTPError, ConnectionError, TimeoutError)
Tell = Callable[[int], None]
"""Called with the number of bytes that arrived; negative where they turned out to be wrong."""


@dataclass(frozen=True)
class Remote:
    """One file to fetch.

    Attributes:
        url: where it is.
        path: where it goes, relative to the folder of the cohort.
        size: in bytes; None where the source does not tell before it is asked for it.
        checksum: MD5 or S3 ETag; "" where the source tells none.
    """

    url: str
    path: str
    size: int | None = None
    checksum: str = ""


class Client:
    """An HTTP client for many threads, which tries again what may pass.

    Args:
        tries: of each file or request.
        timeout_s: seconds without a byte after which a connection counts as dropped.
        connections: that are kept open.
        pause_s: before the second try, doubled before each further one.
    """

    def __init__(self, *, tries: int = 5, timeout_s: float = 60.0, connections: int = 8, pause_s: float = 0.5) -> None:
        self.tries, self.timeout_s, self.pause_s = tries, timeout_s, pause_s
        retry = Retry(total=tries - 1, backoff_factor=pause_s, status_forcelist=_BUSY, allowed_methods=None)
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"radiogenesis/{__version__}"
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=connections, max_retries=retry))

    def get(self, url: str, **params: str) -> bytes:
        """The answer to a small request. Raises FetchError."""
        return self._ask("GET", url, params=params)

    def post(self, url: str, body: Any) -> bytes:
        """The answer to a small request with a JSON body. Raises FetchError."""
        return self._ask("POST", url, json=body)

    def _ask(self, method: str, url: str, **how: Any) -> bytes:
        for tried in range(self.tries):
            try:
                answer = self._session.request(method, url, timeout=self.timeout_s, **how)
                answer.raise_for_status()
                return answer.content
            except _DROPPED as error:
                problem = _why(error)
                if isinstance(error, requests.HTTPError | requests.exceptions.RetryError):
                    break
            time.sleep(self.pause_s * 2**tried if tried + 1 < self.tries else 0)
        raise FetchError(problem, path=url, remedy=_LATER)

    def size(self, url: str) -> int | None:
        """What the source says of a file's size, in bytes; None where it does not say."""
        try:
            answer = self._session.head(
                url, timeout=self.timeout_s, allow_redirects=True, headers={"Accept-Encoding": "identity"}
            )
        except _DROPPED:
            return None
        length = answer.headers.get("Content-Length", "")
        return int(length) if answer.ok and length.isdigit() else None

    def download(self, remote: Remote, folder: Path, tell: Tell) -> str:
        """Fetch one file to `folder / remote.path`; a part that is there from an earlier call is gone on from.

        The file has its name only when its size and checksum were compared, and those of gzip files their CRC.

        Returns:
            what proves that it is whole: `BY_CHECKSUM`, or `BY_SIZE` where the source tells no checksum.

        Raises:
            FetchError: the source does not have it, or it did not arrive whole in any of the tries.
            OSError: the disk does not take it.
        """
        target, part = folder / remote.path, part_of(folder, remote)
        for parent in (target.parent, part.parent):
            parent.mkdir(parents=True, exist_ok=True)
        tell(_size(part))
        problem = _Problem("was not tried")
        for tried in range(self.tries):
            outcome = self._try(remote, part, tell)
            if isinstance(outcome, str):
                part.replace(target)
                return outcome
            problem = outcome
            if problem.final:
                tell(-_size(part))
                part.unlink(missing_ok=True)
            if problem.hopeless:
                break
            time.sleep(self.pause_s * 2**tried if tried + 1 < self.tries else 0)
        tell(-_size(part))
        raise FetchError(problem.text, path=remote.url, remedy=_LATER)

    def _try(self, remote: Remote, part: Path, tell: Tell) -> _Problem | str:
        """Stream what is missing; says what is wrong with the connection or with what came of it, or its proof."""
        try:
            return self._stream(remote, part, tell) or _examined(part, remote)
        except requests.HTTPError as error:
            return _Problem(_why(error), hopeless=True)
        except _DROPPED as error:
            return _Problem(_why(error))

    def _stream(self, remote: Remote, part: Path, tell: Tell) -> _Problem | None:
        """Append what is missing; says what is wrong with what the source sent."""
        have = _size(part)
        if remote.size is not None and have >= remote.size:
            return None
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if remote.checksum:
                headers["If-Range"] = f'"{remote.checksum}"'
        with self._session.get(remote.url, stream=True, timeout=self.timeout_s, headers=headers) as answer:
            if answer.status_code == 416:  # the source has no more than what is there
                wrong = isinstance(_examined(part, remote), _Problem)
                return _Problem("is shorter at the source than the source tells", final=True) if wrong else None
            answer.raise_for_status()
            goes_on = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            if not goes_on:
                tell(-have)
                have = 0
            expected = answer.headers.get("Content-Length", "")
            with part.open("ab" if goes_on else "wb") as file:
                while chunk := answer.raw.read(CHUNK):
                    file.write(chunk)
                    tell(len(chunk))
                file.flush()
                os.fsync(file.fileno())
            arrived = _size(part) - have
            if expected.isdigit() and arrived < int(expected):
                return _Problem(f"only {have + arrived:,} of {have + int(expected):,} bytes came")
        return None


@dataclass(frozen=True)
class _Problem:
    """What is wrong with what arrived.

    Attributes:
        final: it is of no use, and is fetched again from its beginning.
        hopeless: to ask again at once helps nothing.
    """

    text: str
    final: bool = False
    hopeless: bool = False


_LATER = "the same command tries it again"


def safe(name: str) -> str:
    """A name that a source tells as one part of a path: it leads nowhere else."""
    return re.sub(r"[^\w.=-]", "_", name).lstrip(".") or "_"


def part_of(folder: Path, remote: Remote) -> Path:
    """Where a file is until it is whole: apart from the others, so that nobody takes it for one of them."""
    return folder / ".partial" / remote.path.replace("/", "+")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _examined(path: Path, remote: Remote) -> _Problem | str:
    """What is wrong with a file that arrived, or what proves that it is whole."""
    size, proof = path.stat().st_size, BY_SIZE
    if remote.size is not None and size != remote.size:
        return _Problem(f"has {size:,} bytes where the source tells {remote.size:,}", final=size > remote.size)
    if remote.checksum and (verdict := agrees(path, remote.checksum)) is not None:
        if not verdict:
            return _Problem(f"does not have the checksum of the source ({remote.checksum})", final=True)
        proof = BY_CHECKSUM
    if path.name.endswith(".gz"):
        if broken := _broken_gzip(path):
            return _Problem(f"is damaged gzip ({broken})", final=True)
        proof = BY_CHECKSUM
    return proof


def _broken_gzip(path: Path) -> str:
    """What is wrong with a gzip file, whose CRC-32 and length stand at its end; "" where it is whole."""
    try:
        with gzip.open(path) as file:
            while file.read(2**20):
                pass
    except (OSError, EOFError, zlib.error) as error:
        return str(error)
    return ""


def _why(error: BaseException) -> str:
    """An error of the network in a few words."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    return f"the connection failed ({' '.join(str(error).split())[:160]})"
