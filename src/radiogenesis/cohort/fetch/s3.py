"""Public S3 buckets, read without an account: what is under a prefix.

A bucket that is public needs no signature, so that a list is one GET of XML: ListObjectsV2 with `prefix`, and with
`continuation-token` for lists of over 1,000 objects (Amazon S3 API reference, "ListObjectsV2").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote
from xml.etree import ElementTree

from radiogenesis.cohort.fetch.http import Client
from radiogenesis.errors import FetchError


@dataclass(frozen=True)
class Stored:
    """An object in a bucket: its key, size in bytes and ETag, which of small objects is the MD5."""

    key: str
    size: int
    etag: str


def list_objects(client: Client, bucket_url: str, prefix: str) -> Iterator[Stored]:
    """Every object whose key begins with `prefix`.

    Raises:
        FetchError: the bucket does not answer, or not with a list.
    """
    asked = {"list-type": "2", "prefix": prefix}
    while True:
        answer = client.get(f"{bucket_url}/", **asked)
        try:
            page = ElementTree.fromstring(answer)
        except ElementTree.ParseError as error:
            raise FetchError("does not answer like an S3 bucket", path=bucket_url, remedy="see --s3") from error
        for entry in page.iterfind("{*}Contents"):
            fields = {name: entry.findtext(f"{{*}}{name}", "") for name in ("Key", "Size", "ETag")}
            yield Stored(fields["Key"], int(fields["Size"]), fields["ETag"].strip('"'))
        token = page.findtext("{*}NextContinuationToken", "")
        if page.findtext("{*}IsTruncated") != "true" or not token:
            return
        asked["continuation-token"] = token


def object_url(bucket_url: str, key: str) -> str:
    """Where an object is read."""
    return f"{bucket_url}/{quote(key)}"
