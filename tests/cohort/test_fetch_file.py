"""One file from a source that drops, cuts and damages it: whole, verified, and fetched once only where it can be."""

from __future__ import annotations

import errno
import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import Archive, noise

from radiogenesis.cohort.fetch.checksums import agrees
from radiogenesis.cohort.fetch.http import CHUNK, Client, Remote, part_of
from radiogenesis.cohort.fetch.s3 import list_objects
from radiogenesis.errors import FetchError

CONTENT = noise(2 * CHUNK + 1000)
HALF = len(CONTENT) // 2


@pytest.fixture
def archive() -> Iterator[Archive]:
    made = Archive()
    made.files = {"open/a.dcm": CONTENT}
    with made.running():
        yield made


def client(**how: float) -> Client:
    return Client(**{"tries": 3, "timeout_s": 5, "pause_s": 0, **how})  # type: ignore[arg-type]


def remote(archive: Archive, **changes: object) -> Remote:
    known = {"size": len(CONTENT), "checksum": archive.etag("open/a.dcm")}
    return Remote(f"{archive.url}/open/a.dcm", "images/a.dcm", **{**known, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("faults", "known", "ranges"),
    [
        ([], {}, [""]),
        (["drop"], {}, ["", f"bytes={HALF}-"]),
        (["drop"], {"size": None, "checksum": ""}, ["", f"bytes={HALF}-"]),
        (["drop", "drop"], {}, ["", f"bytes={HALF}-", f"bytes={(HALF + len(CONTENT)) // 2}-"]),
        (["short"], {}, ["", f"bytes={HALF}-"]),
        (["wrong"], {}, ["", ""]),  # from its beginning: which byte is wrong is unknown
        (["503"], {}, ["", ""]),
        (["drop", "wrong", "503"], {}, ["", f"bytes={HALF}-", "", ""]),
    ],
)
def test_it_arrives_whole(
    archive: Archive, tmp_path: Path, faults: list[str], known: dict[str, object], ranges: list[str]
) -> None:
    archive.faults["open/a.dcm"] = list(faults)
    told: list[int] = []
    proof = client().download(remote(archive, **known), tmp_path, told.append)
    assert proof == ("size" if known else "checksum")
    assert (tmp_path / "images" / "a.dcm").read_bytes() == CONTENT
    assert sum(told) == len(CONTENT)
    assert [asked for _, asked in archive.asked] == ranges
    assert not part_of(tmp_path, remote(archive)).exists()


@pytest.mark.parametrize(
    ("fault", "known", "said", "tried"),
    [
        ("wrong", {}, "does not have the checksum of the source", 3),
        ("short", {}, "bytes where the source tells", 3),
        ("404", {}, "the server answers 404", 1),
        ("503", {}, "503", 3),
        ("", {"size": HALF}, "the source", 3),  # longer than the source told
    ],
)
def test_what_never_arrives_is_said_and_leaves_no_file(
    archive: Archive, tmp_path: Path, fault: str, known: dict[str, object], said: str, tried: int
) -> None:
    archive.always["open/a.dcm"] = fault
    told: list[int] = []
    with pytest.raises(FetchError, match=said):
        client().download(remote(archive, **known), tmp_path, told.append)
    assert not (tmp_path / "images" / "a.dcm").exists()
    assert sum(told) == 0
    assert len(archive.asked) >= tried


def test_an_object_that_was_replaced_meanwhile_is_fetched_from_its_beginning(archive: Archive, tmp_path: Path) -> None:
    part = part_of(tmp_path, remote(archive))
    part.parent.mkdir(parents=True)
    part.write_bytes(noise(1000, seed=1))
    old = remote(archive, checksum="0" * 32)
    archive.md5["open/a.dcm"] = "1" * 32
    with pytest.raises(FetchError, match="checksum"):
        client(tries=1).download(old, tmp_path, lambda _: None)
    assert archive.asked[0][1] == "bytes=1000-"  # asked for, and all of it came, since its ETag is another
    assert not part.exists()


def test_damaged_gzip_is_found_without_a_checksum(archive: Archive, tmp_path: Path) -> None:
    archive.files["geo/a.txt.gz"] = gzip.compress(CONTENT, mtime=0)
    archive.faults["geo/a.txt.gz"] = ["wrong"]
    client().download(Remote(f"{archive.url}/geo/a.txt.gz", "a.txt.gz"), tmp_path, lambda _: None)
    assert gzip.decompress((tmp_path / "a.txt.gz").read_bytes()) == CONTENT
    assert len(archive.asked) == 2


def test_a_full_disk_is_no_fault_of_the_source(archive: Archive, tmp_path: Path) -> None:
    part = part_of(tmp_path, remote(archive))
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")  # the system's own ENOSPC at the first byte
    with pytest.raises(OSError, match="No space left") as raised:
        client().download(remote(archive), tmp_path, lambda _: None)
    assert raised.value.errno == errno.ENOSPC
    assert len(archive.asked) == 1


def test_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="connection failed"):
        client(tries=2).get("http://127.0.0.1:9/")


def test_a_bucket_is_listed_page_by_page(archive: Archive) -> None:
    archive.files |= {f"open/s/{number} &.dcm": noise(number + 1) for number in range(5)}
    found = list(list_objects(client(), f"{archive.url}/open", "s/"))
    assert [(one.key, one.size) for one in found] == [(f"s/{number} &.dcm", number + 1) for number in range(5)]
    assert found[3].etag == hashlib.md5(noise(4)).hexdigest()


def test_etags_of_objects_in_parts(tmp_path: Path) -> None:
    """The ETag that S3 gives 11 MiB in parts of 5 MiB: the MD5 of the three digests, and their number."""
    mib = 2**20
    content = bytes(11 * mib)
    (tmp_path / "a").write_bytes(content)
    digests = b"".join(hashlib.md5(content[at : at + 5 * mib]).digest() for at in range(0, 11 * mib, 5 * mib))
    whole = hashlib.md5(digests).hexdigest()
    assert agrees(tmp_path / "a", f"{whole}-3") is True
    assert agrees(tmp_path / "a", f"{whole[::-1]}-3") is None  # of parts of another size, or damaged: nobody knows
    assert agrees(tmp_path / "a", hashlib.md5(content).hexdigest()) is True
    assert agrees(tmp_path / "a", whole) is False
    assert agrees(tmp_path / "a", "an-opaque-tag") is None
